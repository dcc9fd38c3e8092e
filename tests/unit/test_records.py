"""One bad record keeps no other back: odd bytes, deep nesting, broken JSON and secrets among runs, agents and files."""

import json
import random

import msgspec
import pytest
from dlt.common.normalizers.naming.snake_case import NamingConvention

from llama_cloud_emulator import Emulator
from llama_extract_dlt import settings
from llama_extract_dlt.errors import UnexpectedResponseError
from llama_extract_dlt.service.client import LlamaCloudClient
from llama_extract_dlt.service.json_text import is_deeper, is_utf8
from llama_extract_dlt.service.records import (
    Checked,
    Rejected,
    Run,
    read_fields,
    read_run,
    without_download_url,
)
from llama_extract_dlt.tables.build import TableBuilder
from llama_extract_dlt.tables.run_parts import split_run

URL = "https://bucket.example/f?X-Amz-Signature=c0ffee&n=1"


@pytest.fixture(scope="module")
def shared_cloud():
    with Emulator(runs=1, seed=1) as cloud:
        yield cloud


@pytest.fixture
def ask(shared_cloud):
    """Run one operation against a service that answers with `body`."""

    def run(body, operation, *args):
        shared_cloud.heal()
        shared_cloud.fail(times=None, status=200, body=body)
        with LlamaCloudClient(shared_cloud.api_key, shared_cloud.base_url) as client:
            return getattr(client, operation)(*args)

    return run


def listed(ask, *items):
    """The items of a page of runs, as they come and as they are read."""
    body = b'{"items": [%b], "total": %d, "skip": 0, "limit": 100}' % (b",\n ".join(items), len(items))
    page = ask(body, "list_runs", "an-agent")
    assert (page.total, page.skip, page.limit) == (len(items), 0, 100)
    return page.items, [read_run(item, "somewhere") for item in page.items]


def run_json(run_id, data=b"null"):
    return b'{"id": "%b", "extraction_agent_id": "a", "name": "caf\xc3\xa9 [\\"", "data": %b}' % (run_id, data)


def nested(levels, opening=b"[", closing=b"]", inner=b""):
    return opening * levels + inner + closing * levels


TOO_DEEP = "it is nested more than 100 levels deep"
NOT_UTF8 = "its bytes are not UTF-8"
BAD_ITEMS = [
    (run_json(b"x", b'"\xff"'), NOT_UTF8),
    (run_json(b"\xff"), NOT_UTF8),
    (b'{"\xff": 1, "id": "x"}', NOT_UTF8),
    (run_json(b"x", b'"\xed\xa0\x80"'), NOT_UTF8),
    (run_json(b"x", nested(100)), TOO_DEEP),
    (run_json(b"x", nested(900)), TOO_DEEP),
    (run_json(b"x", nested(900, b'{"a":', b"}", b"1")), TOO_DEEP),
    (run_json(b"x", nested(900, b'[ {"a" :\n', b"} ]", b'"]}\\""')), TOO_DEEP),
    (run_json(b"x", nested(100_000)), TOO_DEEP),
    (b'{"id": %b}' % nested(5000), TOO_DEEP),
    (b'{"id": "x", "a": 01}', "it is not JSON"),
    (b'{"id": "x", "a": "\\x"}', "it is not JSON"),
    (b'{"id": "x", "a": "\n"}', "it is not JSON"),
    (b'{"id": "x", "a": {"b": 1,}}', "it is not JSON"),
    (b'{"id": "x", "a": {"b": 1 "c": 2}}', "it is not JSON"),
    (b"nil", "it is not JSON"),
    (nested(50), "it is not an object"),
    (b"null", "it is not an object"),
    (b"{}", "it has no `id`"),
    (b'{"id": 1}', "its `id` is not text"),
    (b'{"id": [[]]}', "its `id` is not text"),
    (b'{"id": ""}', "its `id` is empty"),
    (b'{"id": null}', "its `id` is empty"),
    (b'{"id": "a\\u0000b"}', "its `id` has the character NUL"),
]


# Runs


@pytest.mark.parametrize(("bad", "reason"), BAD_ITEMS)
def test_one_bad_run_of_a_page_is_rejected_and_the_others_are_runs(ask, bad, reason):
    good = [run_json(b"1"), run_json(b"2", nested(5, b'{"a":[', b"]}", b'"]]]"')), run_json(b"3")]
    items, read = listed(ask, good[0], bad, *good[1:])
    assert items == [good[0], bad, *good[1:]]
    assert [item.id for item in read if isinstance(item, Run)] == ["1", "2", "3"]
    assert isinstance(read[1], Rejected)
    assert (read[1].raw, read[1].position, type(read[1].raw)) == (bad, "somewhere", bytes)
    assert read[1].reason.startswith(reason)


@pytest.mark.parametrize(("bad", "reason"), [pair for pair in BAD_ITEMS if pair[0].startswith(b'{"')])
@pytest.mark.parametrize("operation", ["get_run", "get_run_by_job"])
def test_a_bad_run_by_its_id_is_rejected(ask, operation, bad, reason):
    raw = ask(b"\n" + bad + b"\n", operation, "x")
    assert raw == bad
    assert read_run(raw, "run x").reason.startswith(reason)


def test_a_page_that_is_bad_in_every_way_keeps_its_good_runs(ask):
    bad = [item for item, _ in BAD_ITEMS]
    _, read = listed(ask, *bad, run_json(b"1"), *bad, b'{"id": "2", "a": [NaN, "\\ud800"]}')
    assert [item.id for item in read if isinstance(item, Run)] == ["1", "2"]
    assert len(read) == 2 * len(bad) + 2


def test_runs_as_deep_as_they_may_be_are_read(ask):
    deepest = [
        run_json(b"1", nested(settings.MAX_DEPTH - 1)),
        run_json(b"2", nested(settings.MAX_DEPTH - 1, b'{"a":', b"}", b"1")),
        run_json(b"3", nested(settings.MAX_DEPTH // 2 - 1, b'[{"a":', b"}]", b"1")),
    ]
    _, read = listed(ask, *deepest)
    assert [item.id for item in read] == ["1", "2", "3"]
    for run in read:
        split_run(run)


def test_brackets_within_strings_neither_make_a_run_deep_nor_hide_that_it_is(ask):
    text = json.dumps("[" * 300 + "{" * 300 + '\\"[\\').encode()
    hidden = b'{"id": "x", "a": [%b[' % (b"[" * 90 + json.dumps("]" * 90).encode() + b",")
    hidden += nested(90) + b"," + json.dumps("[" * 90).encode() + b"]" * 92 + b"}"
    _, (shallow, other, deep) = listed(ask, run_json(b"1", b"[%b, %b]" % (text, text)), run_json(b"2"), hidden)
    assert (type(shallow), type(other), deep.reason) == (Run, Run, TOO_DEEP)


def test_only_what_is_sound_passes_as_checked(ask):
    for sound in (run_json(b"1"), b"[1, null]", b'{"a": NaN}'):
        assert [type(item) for item in listed(ask, sound)[0]] == [Checked]
        assert type(ask(sound, "get_agent", "a")) is Checked
    for bad in (run_json(b"x", b'"\xff"'), run_json(b"x", nested(101)), run_json(b"x", nested(5000)), b'{"a": 01}'):
        assert [type(item) for item in listed(ask, bad)[0]] == [bytes]
        assert type(ask(bad, "get_run", "x")) is bytes


def test_any_bytes_are_read_without_an_error():
    dice = random.Random(1)
    seeds = [
        run_json(b"x", b'{"a": ["\\u00e9\\\\", 1.5e3, true]}'),
        *(item for item, _ in BAD_ITEMS if len(item) < 5000),
    ]
    for _ in range(5000):
        item = bytearray(dice.choice(seeds))
        for _ in range(dice.randrange(4)):
            item[dice.randrange(len(item))] = dice.randrange(256)
        cut = bytes(item[: dice.choice([len(item), dice.randrange(len(item) + 1)])])
        for form in (cut, memoryview(cut), msgspec.Raw(cut)):
            assert isinstance(read_run(form, ""), Run | Rejected)


def test_depth_and_encoding_are_told_exactly(monkeypatch):
    monkeypatch.setattr("llama_extract_dlt.service.json_text._BLOCK", 128)  # so that texts reach over several
    dice = random.Random(2)
    signs = ['"', "\\", '\\"', "\\\\", "[", "]", "{", "}", "a", "é", "票", "😀", ",", ":", "\n"]

    def text():
        return "".join(dice.choice(signs) for _ in range(dice.randrange(90)))

    def value(levels):
        if levels == 0 or dice.random() < 0.3:
            return text()
        if dice.random() < 0.5:
            return [value(levels - 1) for _ in range(dice.randrange(3))]
        return {text(): value(levels - 1) for _ in range(dice.randrange(3))}

    def depth(value):
        if isinstance(value, str):
            return 0
        return 1 + max(map(depth, value.values() if isinstance(value, dict) else value), default=0)

    for _ in range(2000):
        made = value(dice.randrange(12))
        document = json.dumps(made, ensure_ascii=dice.random() < 0.5, indent=dice.choice([None, 1])).encode()
        deep = depth(made)
        assert (is_deeper(document, deep), is_deeper(document, deep - 1)) == (False, True)
        encoded = bytes(dice.choice(b'a\x00\x7f\x80\xbf\xc0\xc3\xe0\xed\xa0\xf0\x9f\xf4\xff"') for _ in range(3))
        try:
            assert encoded.decode() is not None
            valid = True
        except UnicodeDecodeError:
            valid = False
        assert is_utf8(encoded) == valid


def test_what_is_no_object_has_no_members():
    for raw in (None, b"", b"[]", b"{", b'{"a": 01}', b'{"\xff": 1}', b'{"a": %b}' % nested(5000)):
        assert read_fields(raw) is None


# Agents and files


def test_odd_bytes_in_agents_and_files_are_replaced(ask):
    record, mended = b'{"id": "1", "name": "\xff \xc3\xa9"}', '{"id": "1", "name": "� é"}'.encode()
    assert ask(b"[%b, 2]" % record, "list_agents") == [mended, b"2"]
    assert ask(b'{"items": [%b]}' % record, "list_files", ["1"]) == [mended]
    for operation in ("get_agent", "get_agent_by_name", "get_file"):
        assert ask(record, operation, "1") == mended
    assert ask(record, "get_default_agent") == mended


@pytest.mark.parametrize("bad", [b'{"id": "x", "a": %b}' % nested(depth) for depth in (120, 5000)] + [b'{"id": 01}'])
def test_a_bad_agent_or_file_keeps_no_other_back(ask, bad):
    good = '{"id": "1", "name": "� é"}'.encode()
    agents = ask(b"\n[%b, %b, %b]\n" % (bad, good.replace("�".encode(), b"\xff"), good), "list_agents")
    assert agents == [bad, good, good]
    assert [type(read_run(agent, "")) for agent in agents] == [Rejected, Run, Run]
    page = b'{"next_page_token": null, "items": [%b, %b]}'
    assert ask(page % (bad, good), "list_files", ["1"]) == [bad, good]
    assert ask(bad, "get_agent", "x") == bad
    for wrong in (b"[%b, %b", b"[%b,, %b]", b"{%b, %b}", b"[%b, %b]]", b"[%b, %b] 1", b"[%b, [[1}, {2]], %b]"):
        with pytest.raises(UnexpectedResponseError):
            ask(wrong.replace(b"%b", bad, 1).replace(b"%b", good), "list_agents")


# Secrets


def with_file(file):
    return b'{"id": "1", "file": %b, "data": {"download_url": "the customer\'s own"}}' % file


@pytest.mark.parametrize(
    "file",
    [
        b'{"id": "f", "name": "a", "download_url": "%b"}',
        b'{"download_url": "%b", "id": "f", "name": "a"}',
        b'{"id": "f", "download_url" :\n"%b" , "name": "a"}',
        b'{"download_url":"%b","id":"f","download_url":"%b","name":"a"}',
        b'{"id": "f", "name": "a", "resource_info": {"download_url": "%b"}}',
        b'[{"download_url": "%b"}]',
    ],
)
def test_a_presigned_url_is_neither_kept_nor_a_change(file):
    first, second = (
        read_run(with_file(file.replace(b"%b", url)), "") for url in (URL.encode(), b'https://other\\u0026\\"x\\\\')
    )
    assert first.content_hash == second.content_hash
    for run in (first, second):
        parts = split_run(run)
        kept = b"".join([bytes(raw) for part in (parts.fields, parts.file or {}) for raw in part.values()])
        assert b"https://" not in kept
        assert "download_url" not in (parts.file or {})
        assert bytes(parts.data) == b'{"download_url": "the customer\'s own"}'
        if parts.file and "name" in parts.file:
            assert [bytes(parts.file[name]) for name in ("id", "name")] == [b'"f"', b'"a"']


def test_without_a_url_a_run_is_what_it_was():
    gone, there = with_file(b'{"id": "f"}'), with_file(b'{"id": "f", "download_url": "u"}')
    assert read_run(gone, "").content_hash == read_run(there, "").content_hash
    for name in (b'"\\"download_url\\": \\"abc"', b'"download_url"', b'", \\"download_url\\": null, "'):
        for file in (b'{"name": %b, "id": "f"}' % name, b'{"a\\"download_url": "b", %b: 1}' % name):
            assert without_download_url(file) == file


def test_a_record_that_was_looked_up_brings_no_url_in():
    run = read_run(b'{"id": "1", "file_id": "f"}', "")
    run.fields["file"] = msgspec.Raw(
        b'{"id": "f", "download\\u005furl": "u", "a": {"b": 1, "download_url": "%b"}}' % URL.encode()
    )
    assert {name: bytes(raw) for name, raw in split_run(run).file.items()} == {"id": b'"f"', "a": b'{"b": 1}'}


@pytest.mark.parametrize(
    "raw",
    [
        b'{"id": 1, "file": {"download_url": "%b", "a": "b"}}',
        b'{"file": {"a": "b", "download_url" : "%b"}}',
        b'{"id": "x", "a": "b", "data": "\xff", "file": {"download_url": "\\u0026%b\\""}}',
        b'{"id": "x", "a": "b", "file": {"download_url": "%b',
        b'"{\\"a\\": \\"b\\", \\"file\\": {\\"download_url\\": \\"%b\\"}}"',
    ],
)
def test_what_is_rejected_is_kept_without_a_presigned_url(raw):
    found = read_run(raw.replace(b"%b", URL.encode()), "")
    assert isinstance(found, Rejected)
    assert b"Signature" not in found.raw
    assert b"null" in found.raw
    assert all(part in found.raw for part in (b"download_url", b"a", b"b", b"file"))


def test_a_run_that_the_parser_fails_at_is_set_aside_and_the_others_are_read():
    """Nothing that the service can send is known to do that; it is what keeps one run from stopping all."""
    runs = [read_run(b'{"id": "%d", "data": {"n": 1}}' % number, "somewhere") for number in range(3)]
    runs[1].fields["data"] = msgspec.Raw(b'{"n": ')
    built = TableBuilder(NamingConvention(), {}).build(runs, load_id="1")
    assert built.tables[-1].data["id"].to_pylist() == ["0", "2"]
    assert [(item.position, b'"n"' in item.raw) for item in built.unfit.values()] == [("run 1", True)]

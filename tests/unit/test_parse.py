"""Documents become the same columns whether Arrow reads them or Python does, as long as Arrow is right."""

import json

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from llama_extract_dlt.tables import parse as parse_module
from llama_extract_dlt.tables.parse import Elements, Node, Parser, concat, from_members


def plain(node: Node):
    """A node as lists and dicts; columns without a value left out, doubles and integers told apart."""
    lists = node.elements
    return {
        "length": node.length,
        "scalars": {kind: array.to_pylist() for kind, array in node.scalars.items() if array.null_count < len(array)},
        "fields": {key: made for key, member in node.fields.items() if (made := plain(member)) and filled(made)},
        "elements": lists and len(lists.parent) and (lists.parent.tolist(), lists.index.tolist(), plain(lists.node)),
    }


def filled(made):
    return made["scalars"] or made["fields"] or made["elements"]


def parse(documents, parser=None, loses=lambda node, beside: False):
    texts = [document if isinstance(document, bytes) else json.dumps(document).encode() for document in documents]
    return (parser or Parser()).parse("shape", texts, loses)


TAME = [
    [{"a": 1, "b": "x", "c": [{"d": True}, {"d": None}, {}]}, {"b": None, "e": {"f": 1.5}}, {"c": []}],
    [{"a": [[1, 2], [], None, [3]]}, {"a": None}, {}],
    [{"at": "2026-01-28T10:00:00Z"}, {"at": "2026-01-28 10:00:00"}, {"day": "2026-01-28"}],
    [{"a": [None, 1]}, {"a": [None, None]}, {"a": [2]}],
    [[{"a": 1}, {"a": 2}], [], [{"b": "\u2028\n"}]],
    [b'{\n"a": 1,\r\n "b": "x"\n}', b'{"b": "y"}'],
    [{}, {}],
]


@pytest.mark.parametrize("documents", TAME)
def test_arrow_and_python_read_the_same(documents, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(parse_module, "_parse_exactly", None)  # it is Arrow that reads them
        [(places, fast)] = parse(documents)
    monkeypatch.setattr(Parser, "_read_alike", lambda *_: None)
    [(_, exact)] = parse(documents)
    assert places.tolist() == list(range(len(documents)))
    assert plain(fast) == plain(exact)


def test_documents_that_disagree_are_read_as_they_are():
    [(_, node)] = parse([{"a": 1}, {"a": "x"}, {"a": {"b": 2}}, {"a": [True]}])
    assert plain(node.fields["a"]) == {
        "length": 4,
        "scalars": {"bigint": [1, None, None, None], "text": [None, "x", None, None]},
        "fields": {"b": {"length": 4, "scalars": {"bigint": [None, None, 2, None]}, "fields": {}, "elements": None}},
        "elements": ([3], [0], {"length": 1, "scalars": {"bool": [True]}, "fields": {}, "elements": None}),
    }


def test_numbers_that_no_type_holds_keep_their_digits():
    documents = [b'{"a": 1}', b'{"a": 12345678901234567890}', b'{"a": 0.12345678901234567890}', b'{"a": 1e400}']
    (long, odd), (usual, plain_ones) = parse(documents)
    assert (long.tolist(), usual.tolist()) == ([1, 2, 3], [0])
    assert odd.fields["a"].scalars["text"].to_pylist() == ["12345678901234567890", "0.12345678901234567890", "1e400"]
    assert plain_ones.fields["a"].scalars["bigint"].to_pylist() == [1]
    [(_, measured)] = parse([b'{"a": 0.1}', b'{"a": 0.12345678901234567890}'], loses=None)
    assert measured.fields["a"].scalars["double"].to_pylist() == [0.1, 0.12345678901234568]


def test_digits_that_matter_are_kept():
    documents = [{"a": 1}, {"a": 1.5}]
    [(_, fast)] = parse(documents)
    assert fast.fields["a"].scalars["double"].to_pylist() == [1.0, 1.5]
    [(_, exact)] = parse(documents, loses=lambda node, beside: "double" in node.fields["a"].scalars)
    assert {kind: array.to_pylist() for kind, array in exact.fields["a"].scalars.items()} == {
        "bigint": [1, None],
        "double": [None, 1.5],
    }


def test_what_was_learned_of_a_shape_gives_way_when_it_no_longer_holds(monkeypatch):
    monkeypatch.setattr(parse_module, "_parse_exactly", None)
    parser = Parser()
    for values, kind in (([1, 2], "bigint"), ([1.5], "double"), (["x"], "text"), ([None], None), ([True], "bool")):
        [(_, node)] = parse([{"a": value} for value in values], parser)
        assert list(node.fields["a"].scalars) == ([kind] if kind else [])


def test_members_that_are_objects_or_lists_stay_json():
    rows = [{"a": b"1", "b": b'{"x": 1.50}'}, None, {"a": b"[1]", "b": b"null"}, {"a": b"2.5", "c": b'"t"'}]
    raws = [row and {key: msgspec.Raw(raw) for key, raw in row.items()} for row in rows]
    node = from_members(raws)
    assert {key: {k: v.to_pylist() for k, v in m.scalars.items()} for key, m in node.fields.items()} == {
        "a": {"json": [None, None, "[1]", None], "double": [1.0, None, None, 2.5]},
        "b": {"json": ['{"x": 1.50}', None, None, None]},
        "c": {"text": [None, None, None, "t"]},
    }
    for digits in ("12345678901234567890", "0.12345678901234567890"):
        huge = from_members([{"a": msgspec.Raw(digits.encode())}, {"a": msgspec.Raw(b"1")}])
        assert {kind: array.to_pylist() for kind, array in huge.fields["a"].scalars.items()} == {
            "text": [digits, None],
            "bigint": [None, 1],
        }


def test_taking_and_joining_keep_lists_at_their_places():
    inner = Node(3, {"bigint": pa.array([1, 2, 3])})
    node = Node(3, elements=Elements(np.array([0, 0, 2]), np.array([0, 1, 0]), inner))
    last = node.take(np.array([1, 2]))
    assert plain(last)["elements"] == ([1], [0], plain(Node(1, {"bigint": pa.array([3])})))
    both = concat([last, node])
    assert both.elements.parent.tolist() == [1, 2, 2, 4]
    assert both.elements.node.scalars["bigint"].to_pylist() == [3, 1, 2, 3]

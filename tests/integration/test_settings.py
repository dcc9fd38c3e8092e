"""Where settings come from, what they may be, and what of them, and of other people's words, is shown."""

import gzip
import inspect
import json
import logging
import pickle
import re
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import date
from pathlib import Path
from typing import Any, get_args

import dlt
import duckdb
import pytest
from dlt.common.configuration.container import Container
from dlt.common.configuration.providers.provider import ConfigProvider
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext
from dlt.pipeline.exceptions import PipelineStepFailed
from dlt.pipeline.state_sync import decompress_state

from llama_cloud_emulator import Emulator
from llama_extract_dlt import ConfigurationError, llama_extract, plan_sync
from llama_extract_dlt.config import DEFAULT, SETTINGS
from support.command import Command
from support.places import ROOT
from support.warehouse import Warehouse

KEY = "llx-a-key-that-must-stay-secret"
PREFIX = "SOURCES__LLAMA_EXTRACT__"
AGENTS = ("Invoices", "Claim forms")
Configure = Callable[..., None]
Make = Callable[[Emulator], Warehouse]


@pytest.fixture
def cloud() -> Iterator[Emulator]:
    with Emulator(runs=30, seed=7, api_key=KEY) as emulator:
        yield emulator


@pytest.fixture
def account(cloud: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key and the address as the vendor's variables, which are asked last."""
    monkeypatch.setenv("LLAMA_CLOUD_API_KEY", cloud.api_key)
    monkeypatch.setenv("LLAMA_CLOUD_BASE_URL", cloud.base_url)


@pytest.fixture
def configure(tmp_path: Path) -> Iterator[Configure]:
    """Writes dlt's files, as a user does, and has dlt read them."""

    def write(config: str = "", secrets: str = "") -> None:
        folder = tmp_path / ".dlt"
        folder.mkdir(exist_ok=True)
        (folder / "config.toml").write_text(config)
        (folder / "secrets.toml").write_text(secrets)
        Container()[PluggableRunContext].reload_providers()

    yield write
    write()


@pytest.fixture
def command(cloud: Emulator, tmp_path: Path) -> Command:
    return Command(cloud, tmp_path)


def ours(settings: str) -> str:
    return f"[sources.llama_extract]\n{settings}\n"


def ids(cloud: Emulator, *names: str) -> set[str]:
    """The runs of these agents, of all when none is named."""
    agents = {agent["id"] for agent in cloud.agents() if agent["name"] in (names or (agent["name"],))}
    return {run["id"] for run in cloud.runs() if run["extraction_agent_id"] in agents}


def loaded(house: Warehouse) -> set[str]:
    house.forget()
    return {row["id"] for row in house.rows("extraction_runs")}


def page_size(cloud: Emulator) -> int:
    """What the first page was asked with."""
    return int(next(request for request in cloud.requests if request.path.endswith("/runs")).query["limit"][0])


def refused(cloud: Emulator, **arguments: Any) -> str:
    """What the source says instead of sending anything: one line."""
    with pytest.raises(ConfigurationError) as caught:
        llama_extract(**arguments)
    said = str(caught.value)
    assert KEY not in said
    assert said.count("\n") == 0
    assert cloud.requests == []
    return said


# ── the key stays secret ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def everything_logged(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    for logger in [*logging.root.manager.loggerDict.values(), logging.getLogger("dlt")]:
        if isinstance(logger, logging.Logger):
            monkeypatch.setattr(logger, "propagate", True)
            monkeypatch.setattr(logger, "level", logging.DEBUG)
            logger.manager._clear_cache()
    caplog.set_level(logging.DEBUG)
    return caplog


@pytest.mark.parametrize("fails", [False, True], ids=["loads", "fails"])
@pytest.mark.parametrize("place", ["argument", "secrets.toml", "environment", "vendor's variable"])
def test_the_key_is_in_nothing_that_a_load_leaves(
    cloud: Emulator,
    warehouse: Make,
    configure: Configure,
    everything_logged: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    place: str,
    fails: bool,
) -> None:
    if place == "secrets.toml":
        configure(secrets=ours(f'api_key = "{KEY}"'))
    elif place == "environment":
        monkeypatch.setenv(f"{PREFIX}API_KEY", KEY)
    elif place != "argument":
        monkeypatch.setenv("LLAMA_CLOUD_API_KEY", KEY)
    if fails:
        cloud.fail(times=None, path="/runs", status=401)
    house = warehouse(cloud)
    with pytest.raises(PipelineStepFailed) if fails else nullcontext():
        house.load(api_key=KEY if place == "argument" else None)
    assert cloud.requests
    trace = house.pipeline.last_trace
    assert KEY not in f"{trace.asdict()} {trace!r} {trace.asstr(2)} {house.pipeline.state}"
    assert KEY not in everything_logged.text
    assert [name for name in everything_logged.text.split() if name.startswith("httpcore")] or "httpcore" in str(
        {record.name for record in everything_logged.records}
    )
    left = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "secrets.toml"]
    assert {path.name for path in left} >= {"trace.pickle", "state.json"}
    for path in left:
        content = path.read_bytes()
        assert KEY.encode() not in content, path
        if path.suffix == ".gz":
            assert KEY.encode() not in gzip.decompress(content), path
        if path.suffix == ".pickle":
            assert KEY not in repr(pickle.loads(content)), path
    if not fails:
        states = [decompress_state(row["state"]) for row in house.rows("_dlt_pipeline_state")]
        assert states
        assert KEY not in f"{states} {house._rows}"


# ── settings come from their own section, and from nowhere else ───────────────────────────────────────────────────


@pytest.mark.parametrize("place", ["argument", "environment", "secrets.toml", "config.toml", "another provider"])
def test_a_setting_is_taken_from_where_it_belongs(
    cloud: Emulator, warehouse: Make, account: None, configure: Configure, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """The places in their order: each is set to its number, and those before it are not set."""
    places = ["argument", "environment", "secrets.toml", "config.toml", "another provider"]
    first = places.index(place)
    configure(config=ours("page_size = 13") if first <= 3 else "", secrets=ours("page_size = 12") if first <= 2 else "")
    dlt.config.register_provider(Recording({("sources", "llama_extract", "page_size"): 14}))
    if first <= 1:
        monkeypatch.setenv(f"{PREFIX}PAGE_SIZE", "11")
    house = warehouse(cloud)
    house.load(api_key=None, base_url=None, page_size=10 if first == 0 else None)
    assert page_size(cloud) == 10 + first
    assert loaded(house) == ids(cloud)


def test_the_default_can_be_asked_for(
    cloud: Emulator, warehouse: Make, configure: Configure, account: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(config=ours("page_size = 7\nagents = []\nuntil = 2020-01-01"))
    monkeypatch.setenv(f"{PREFIX}DATA_TABLES", "per_agent")
    house = warehouse(cloud)
    house.load(page_size=DEFAULT, agents=DEFAULT, until=DEFAULT, data_tables=DEFAULT)
    assert page_size(cloud) == 100
    assert loaded(house) == ids(cloud)
    assert house.rows("extraction_runs__data")


FOREIGN = {
    "environment, bare": "{}",
    "environment, of all sources": "SOURCES__{}",
    "environment, of the module": "SOURCES__LLAMA_EXTRACT_DLT__{}",
    "environment, without sources": "LLAMA_EXTRACT__{}",
    "environment, of the pipeline": "LLAMA_EXTRACT__SOURCES__LLAMA_EXTRACT__{}",
    "environment, below the section": "SOURCES__LLAMA_EXTRACT__LLAMA_EXTRACT__{}",
}


@pytest.mark.parametrize("place", [*FOREIGN, "top of config.toml", "all sources in config.toml", "top of secrets.toml"])
def test_nothing_of_others_is_taken_for_a_setting(
    cloud: Emulator, warehouse: Make, account: None, configure: Configure, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    values = {name: "somebody else's" for name in SETTINGS}
    toml = "\n".join(f'{name} = "{value}"' for name, value in values.items())
    if place in FOREIGN:
        for name, value in values.items():
            monkeypatch.setenv(FOREIGN[place].format(name.upper()), value)
    elif place == "top of secrets.toml":
        configure(secrets=toml)
    else:
        configure(config=f"[sources]\n{toml}" if "sources" in place else toml)
    house = warehouse(cloud)
    house.load(api_key=None, base_url=None)
    assert loaded(house) == ids(cloud)
    assert page_size(cloud) == 100
    assert {request.status for request in cloud.requests} == {200}


def test_variables_of_other_programs_do_not_choose_what_the_command_loads(cloud: Emulator, command: Command) -> None:
    foreign = {"UNTIL": "2020-01-01", "SINCE": "2030-01-01", "AGENTS": '["Nobody"]', "RUN_IDS": "[]", "CHUNK_SIZE": "0"}
    foreign |= {"TIMEOUT": "0.001", "PAGE_SIZE": "1", "DELETED_RUNS": "remove", "SOURCES__UNTIL": "2020-01-01"}
    assert command("-q", **foreign) == (0, "", "")
    assert loaded(command.warehouse()) == ids(cloud)


class Recording(ConfigProvider):
    """A provider of configuration that remembers what it was asked for."""

    name, supports_secrets, supports_sections = "recording", True, True

    def __init__(self, values: dict[tuple[str, ...], Any] | None = None) -> None:
        self.asked: set[tuple[str, ...]] = set()
        self.values = values or {}

    def get_value(self, key: str, hint: Any, pipeline_name: str | None, *sections: str) -> tuple[Any, str]:
        path = (*sections, key)
        self.asked.add((*([pipeline_name] if pipeline_name else []), *path))
        return self.values.get(path), ".".join(path)


def test_what_dlt_itself_reads_in_the_section_is_in_tables_below_it(
    cloud: Emulator, warehouse: Make, configure: Configure
) -> None:
    """So a bare name in the section is a setting of this source, or a mistake."""
    configure()
    provider = Recording()
    dlt.config.register_provider(provider)
    house = warehouse(cloud)
    house.load()
    house.pipeline.run(llama_extract(api_key=KEY, base_url=cloud.base_url), refresh="drop_sources")
    section = {path[2:] for path in provider.asked if path[:2] == ("sources", "llama_extract") and path[2:]}
    assert {path[0] for path in section if len(path) == 1} <= set(SETTINGS)
    assert {path[0] for path in section if len(path) > 1} >= {"data_writer", "schema"}
    assert set(SETTINGS) - {"api_key", "base_url"} <= {path[0] for path in section}


# ── misspelt names ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("setting", "near"),
    [
        ("requests_per_minut = 20", "did you mean requests_per_minute"),
        ("Agents = ['Invoices']", "did you mean agents"),
        ("api_kye = 'llx-a-key-that-must-stay-secret'", "did you mean api_key"),
        ("pagesize = 20", "did you mean page_size"),
        ("colour = 'blue'", "see docs/configuration.md"),
    ],
)
@pytest.mark.parametrize("place", ["config.toml", "secrets.toml", "environment"])
def test_a_name_that_is_no_setting_is_refused(
    cloud: Emulator,
    account: None,
    configure: Configure,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    setting: str,
    near: str,
) -> None:
    name = setting.split(" ")[0]
    if place == "environment":
        name = PREFIX + (name if name == "Agents" else name.upper())
        monkeypatch.setenv(name, setting.split(" ")[2])
    else:
        configure(**{place.removesuffix(".toml"): ours(setting)})
    said = refused(cloud, agents=["Invoices"])
    assert f"{name} " in said
    assert near in said
    assert place == "environment" or place in said


def test_what_belongs_to_dlt_is_left_alone(
    cloud: Emulator, warehouse: Make, account: None, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(config="[sources.llama_extract.extraction_runs]\nmax_table_nesting = 9\n[sources.other]\npage_sise = 1")
    monkeypatch.setenv(f"{PREFIX}DATA_WRITER__BUFFER_MAX_ITEMS", "100")
    monkeypatch.setenv(f"{PREFIX}SCHEMA__NAMING", "snake_case")
    house = warehouse(cloud)
    house.load(api_key=None, base_url=None)
    assert loaded(house) == ids(cloud)


def test_a_key_in_the_file_that_is_not_secret_is_refused(cloud: Emulator, account: None, configure: Configure) -> None:
    configure(config=ours(f'api_key = "{KEY}"'))
    assert refused(cloud) == "api_key is in config.toml: put it into secrets.toml"


# ── values ────────────────────────────────────────────────────────────────────────────────────────────────────────

NAN, INFINITY = float("nan"), float("inf")
NO_NUMBERS = ["many", "", True, NAN, INFINITY, -INFINITY, "nan", "inf", 10**400, [1], {"a": 1}, b"1", date(2026, 1, 1)]
NO_SIZES = [0, -1, 1.5, "0", "1.5", *NO_NUMBERS]
NO_TEXTS = ["", "  ", 7, True, ["a"], {"a": 1}, b"a"]
NO_LISTS = ["", " ", [""], ["Invoices", "\t"], 7, True, [7], [None], [["a"]], {}, {"a": 1}, b"", b"a"]
NO_FLAGS = ["perhaps", "", 1, 0, 2, 1.0, NAN, [], ["true"], {}]
NO_TIMES = [
    "",
    "yesterday",
    "2026-02-30",
    7,
    True,
    NAN,
    [],
    {},
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
]
WRONG: dict[str, list[Any]] = {
    "agents": NO_LISTS,
    "run_ids": [*NO_LISTS, "run-7", ["run-7"]],
    "job_ids": [*NO_LISTS, "job-7", ["job-7"]],
    "since": NO_TIMES,
    "until": NO_TIMES,
    "full_scan": NO_FLAGS,
    "rewrite": NO_FLAGS,
    "full_scan_every": [-1, 1e7, 1e300, *NO_NUMBERS],
    "deleted_runs": ["keep", "FLAG", "", True, 1, ["flag"], {}],
    "api_key": [*NO_TEXTS, [KEY], {"key": KEY}, KEY.encode()],
    "base_url": [*NO_TEXTS, "cloud", "http://cloud.example"],
    "project_id": NO_TEXTS,
    "organization_id": NO_TEXTS,
    "requests_per_minute": [0, -1, "0", *NO_NUMBERS],
    "max_concurrency": NO_SIZES,
    "timeout": [0, -1, "0", *NO_NUMBERS],
    "max_tries": NO_SIZES,
    "max_wait": [-1, "-1", *NO_NUMBERS],
    "max_answer_bytes": NO_SIZES,
    "page_size": NO_SIZES,
    "chunk_size": NO_SIZES,
    "lookup_files": NO_FLAGS,
    "wait_for_lock": [-1, "-1", *NO_NUMBERS],
    "parallel": NO_FLAGS,
    "table_format": ["iceberg", "", True, 1, ["delta"], {}],
    "data_tables": ["own", "", True, 1, ["shared"], {}],
}


def test_every_setting_has_values_that_are_wrong() -> None:
    assert list(WRONG) == list(SETTINGS) == list(inspect.signature(llama_extract).parameters)


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_argument_is_one_line(cloud: Emulator, account: None, name: str) -> None:
    for value in WRONG[name]:
        said = refused(cloud, **{name: value})
        assert name in said, value
        shown = value[0] if value == [value] else value
        assert name in ("api_key", "base_url") or " ".join(f"{shown!r}".split())[:60].strip("[]") in said, value


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_value_in_the_configuration_is_one_line(
    cloud: Emulator, account: None, configure: Configure, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for value in WRONG[name]:
        if isinstance(value, str | int | float | list) and value not in ([None], 10**400):
            text = json.dumps(value).lower() if isinstance(value, float) else json.dumps(value)
            file = "secrets" if name == "api_key" else "config"
            configure(**{file: ours(f"{name} = {text.replace('infinity', 'inf')}")})
            assert name in refused(cloud), value
            configure()
        # As text, 7 is a name, 1 a flag, and so on.
        if isinstance(value, str) or (isinstance(value, float) and name not in ("full_scan", "lookup_files")):
            monkeypatch.setenv(f"{PREFIX}{name.upper()}", str(value))
            assert name in refused(cloud), value
            monkeypatch.delenv(f"{PREFIX}{name.upper()}")


def test_an_address_that_is_none_is_not_shown(cloud: Emulator, account: None) -> None:
    """Somebody may have put the key there."""
    assert refused(cloud, base_url=KEY).startswith("base_url must")


ONE_OR_MORE: list[tuple[str, Any, list[str]]] = [
    ("argument", "Invoices", ["Invoices"]),
    ("argument", ("Invoices", "Claim forms"), ["Claim forms", "Invoices"]),
    ("toml", "'Invoices'", ["Invoices"]),
    ("toml", "['Invoices', 'Claim forms']", ["Claim forms", "Invoices"]),
    ("environment", "Invoices", ["Invoices"]),
    ("environment", '["Invoices", "Claim forms"]', ["Claim forms", "Invoices"]),
    ("environment", "['Invoices', 'Claim forms']", ["Claim forms", "Invoices"]),
    ("argument", "['Invoices']", ["['Invoices']"]),
    ("environment", "[draft] Contracts", ["[draft] Contracts"]),
    ("environment", "2026", ["2026"]),
]


@pytest.mark.parametrize(("place", "value", "names"), ONE_OR_MORE, ids=str)
def test_one_name_is_as_good_as_a_list(
    cloud: Emulator,
    warehouse: Make,
    account: None,
    configure: Configure,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    value: Any,
    names: list[str],
) -> None:
    for name in set(names) - {"Invoices", "Claim forms"}:
        cloud.add_run(cloud.add_agent(name, {})["id"], data={"a": 1})
    if place == "environment":
        monkeypatch.setenv(f"{PREFIX}AGENTS", value)
    elif place == "toml":
        configure(config=ours(f"agents = {value}"))
    house = warehouse(cloud)
    house.load(agents=value if place == "argument" else None)
    assert loaded(house) == ids(cloud, *names)


def test_texts_are_converted(
    cloud: Emulator, warehouse: Make, account: None, monkeypatch: pytest.MonkeyPatch, configure: Configure
) -> None:
    configure(config=ours("since = 2020-01-01\nuntil = 2031-01-01T00:00:00Z\nmax_wait = 20\nchunk_size = 1e3"))
    texts = {"PAGE_SIZE": " 20 ", "LOOKUP_FILES": "False", "FULL_SCAN": "no", "TIMEOUT": "1e2", "MAX_TRIES": "3"}
    for name, value in texts.items():
        monkeypatch.setenv(f"{PREFIX}{name}", value)
    house = warehouse(cloud)
    house.load(api_key=None, base_url=None)
    assert page_size(cloud) == 20
    assert not [request for request in cloud.requests if "/files" in request.path]
    assert loaded(house) == ids(cloud)
    monkeypatch.setenv(f"{PREFIX}FULL_SCAN", "True")
    cloud.reset_requests()
    assert "leave out since and until" in refused(cloud)


def test_a_line_end_behind_the_key_does_no_harm(cloud: Emulator, warehouse: Make, configure: Configure) -> None:
    configure(secrets=ours(f'api_key = "{KEY}\\n"'))
    house = warehouse(cloud)
    house.load(api_key=None)
    assert loaded(house) == ids(cloud)


@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        ([], {"TIMEOUT": "0"}, "timeout must be a number of seconds above 0, up to a million; timeout is '0'"),
        ([], {"FULL_SCAN": "perhaps"}, "full_scan must be true or false; full_scan is 'perhaps'"),
        ([], {"REQUESTS_PER_MINUT": "20"}, "SOURCES__LLAMA_EXTRACT__REQUESTS_PER_MINUT is no setting"),
        ([], {"CHUNK_SIZE": "few"}, "chunk_size is 'few'"),
        (["--chunk-size", "0"], {}, "chunk_size is 0"),
        (["--agent", ""], {}, "agents must be a list of ids or names, none of them blank"),
        (["--since", ""], {}, "since must be a time"),
        (["--dataset", "\x1b[31mred\u202e\r\n"], {}, r"'\x1b[31mred\u202e\r\n' cannot be a dataset's name"),
        (["--agent", "\x1b[31mred"], {}, r"there is no agent '\x1b[31mred'"),
        (["--destination", "\x1b[31mred"], {}, r"dlt has no destination '\x1b[31mred'"),
    ],
)
def test_the_command_says_one_line_and_ends_with_2(
    command: Command, arguments: list[str], environment: dict[str, str], said: str
) -> None:
    given = {f"{PREFIX}{name}": value for name, value in environment.items()}
    code, out, err = command(*arguments, **given)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("error: ")
    assert said in err
    assert err[:-1].isprintable()


# ── only what was not asked for means all ─────────────────────────────────────────────────────────────────────────


EMPTY = [
    {"run_ids": []},
    {"job_ids": []},
    {"agents": []},
    {"agents": (), "run_ids": [], "job_ids": []},
    {"run_ids": iter(())},
    {"agents": [], "full_scan": True},
    {"run_ids": [], "data_tables": "per_agent"},
]


@pytest.mark.parametrize("arguments", EMPTY, ids=lambda arguments: " ".join(arguments))
def test_an_empty_list_loads_nothing_and_asks_for_nothing(
    cloud: Emulator, warehouse: Make, arguments: dict[str, Any]
) -> None:
    house = warehouse(cloud)
    house.load(agents=["Claim forms"])
    before = house.content()
    cloud.reset_requests()
    source = llama_extract(api_key=KEY, base_url=cloud.base_url, **arguments)
    house.pipeline.run(source)
    house.pipeline.run(source.with_resources("extraction_agents"))
    assert plan_sync(house.pipeline, api_key=KEY, base_url=cloud.base_url, **arguments) == []
    house.forget()
    assert house.content() == before
    assert cloud.requests == []


@pytest.mark.parametrize("place", ["config.toml", "environment"])
@pytest.mark.parametrize("name", ["agents", "run_ids", "job_ids"])
def test_an_empty_list_that_is_configured_loads_nothing(
    cloud: Emulator,
    warehouse: Make,
    account: None,
    configure: Configure,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    name: str,
) -> None:
    if place == "environment":
        monkeypatch.setenv(f"{PREFIX}{name.upper()}", "[]")
    else:
        configure(config=ours(f"{name} = []"))
    warehouse(cloud).load(api_key=None, base_url=None)
    assert cloud.requests == []


def test_an_empty_list_beside_another_adds_nothing(cloud: Emulator, warehouse: Make) -> None:
    house = warehouse(cloud)
    house.load(agents=["Claim forms"], run_ids=[])
    assert loaded(house) == ids(cloud, "Claim forms")
    run = next(run["id"] for run in cloud.runs() if run["id"] not in loaded(house))
    house.load(agents=[], run_ids=[run], job_ids=None)
    assert loaded(house) == {run} | ids(cloud, "Claim forms")
    assert {row["name"] for row in house.rows("extraction_agents")} == {"Claim forms"}


def test_the_command_takes_an_empty_list_as_it_is(cloud: Emulator, command: Command) -> None:
    empty = {f"{PREFIX}AGENTS": "[]"}
    code, out, err = command("--dry-run", **empty)
    assert (code, out, err) == (0, "", "nothing was loaded; a load would take 0 requests\n")
    assert command("-q", **empty) == (0, "", "")
    assert cloud.requests == []
    run = cloud.runs()[0]["id"]
    assert command("-q", "--run-id", run, **empty) == (0, "", "")
    assert loaded(command.warehouse()) == {run}


def test_the_demo_loads_all_whatever_is_configured(command: Command, tmp_path: Path) -> None:
    names = {"AGENTS": "[]", "RUN_IDS": "[]", "UNTIL": "2020-01-01", "DATA_TABLES": "per_agent", "PAGE_SIZE": "none"}
    configured = {f"{PREFIX}{name}": value for name, value in names.items()} | {f"{PREFIX}MISSPELT": "1"}
    code, out, err = command("--demo", **configured)
    assert (code, out) == (0, "")
    assert "runs: 300 new (" in err
    assert "Line items of the largest invoices" in err


# ── other people's words on the terminal ──────────────────────────────────────────────────────────────────────────

BAD = "Bad\x1b[2J\x1b]0;title\x07\u202eevil\u2066\r\x00\x7f\x9b\u200b\ue000"
SHOWN = r"Bad\x1b[2J\x1b]0;title\x07\u202eevil\u2066"


def shows_only_printable(text: str) -> bool:
    return all(character.isprintable() or character == "\n" for character in text)


def test_names_of_agents_and_words_of_the_service_do_nothing_to_the_terminal(cloud: Emulator, command: Command) -> None:
    bad = cloud.add_agent(BAD, {})["id"]
    cloud.add_run(bad, data={"a": 1})
    code, out, err = command("--dry-run", "--json")
    assert (code, shows_only_printable(err), shows_only_printable(out), out.isascii()) == (0, True, True, True)
    assert SHOWN[:30] in err
    assert BAD in {plan["agent"] for plan in json.loads(out)["agents"]}
    code, out, err = command("--json", "-v")
    assert (code, shows_only_printable(err), shows_only_printable(out), out.isascii()) == (0, True, True, True)
    assert SHOWN[:30] in err
    assert BAD in {counts["name"] for counts in json.loads(out)["agents"].values()}
    rows = [line for line in err.splitlines() if line.startswith(("agent ", "Bad", "Invoices"))]
    end = rows[0].index("new") + 3
    assert len(rows) == 3
    assert sorted(line[end - 5 : end] for line in rows) == ["    1", "    9", "  new"]
    code, out, err = command("--agent", "nobody")
    assert (code, err.count("\n"), shows_only_printable(err)) == (2, 1, True)
    cloud.fail(times=None, path="/runs", status=403, body={"detail": BAD})
    for options in ([], ["-v"]):
        code, out, err = command(*options)
        assert code in (1, 3)
        assert shows_only_printable(err)
        assert "403: Bad" in err


@pytest.mark.parametrize("options", [[], ["-v"]], ids=str)
def test_a_name_of_a_file_that_the_database_complains_of_does_nothing_to_the_terminal(
    cloud: Emulator, command: Command, tmp_path: Path, options: list[str]
) -> None:
    run = next(run for run in cloud.runs() if run["file"])
    cloud.edit_run(run["id"], file=run["file"] | {"name": "\x1b[31mred\u202e.pdf"})
    with duckdb.connect(str(tmp_path / "llamacloud.duckdb")) as connection:
        connection.execute("create schema llama_extract")
        connection.execute("create table llamacloud.llama_extract.extraction_runs__file (_run_id text, name integer)")
    code, _, err = command("--run-id", run["id"], *options)
    assert (code, shows_only_printable(err)) == (1, True)
    assert r"'\x1b[31mred\u202e.pdf'" in err.splitlines()[-1]


# ── the log ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_sources_own_log_is_shown_with_v_only(cloud: Emulator, command: Command) -> None:
    cloud.fail(times=None, path="/beta/files", status=403, body={"detail": BAD})
    code, _, err = command()
    assert code == 0
    assert err.splitlines()[-1].startswith("runs: ")
    assert "Bad" not in err
    code, _, err = command("-v", "--refresh")
    assert code == 0
    assert [line for line in err.splitlines() if line.startswith("warning: ") and "403: Bad" in line]
    assert shows_only_printable(err)


# ── the documentation ─────────────────────────────────────────────────────────────────────────────────────────────


def test_the_documented_defaults_are_those_of_the_settings() -> None:
    text = (ROOT / "docs/configuration.md").read_text()
    table = dict(re.findall(r"^\| `(\w+)` \| ([^|]+?) \|.*SOURCES__LLAMA_EXTRACT__", text, re.MULTILINE))
    assert list(table) == list(SETTINGS)
    for name, setting in SETTINGS.items():
        if setting.default is not None and name != "base_url":
            assert json.loads(table[name].strip("`")) == setting.default, name
    docstring = " ".join((llama_extract.__doc__ or "").split())
    for name, default in (("full_scan_every", 7), ("max_concurrency", 8), ("timeout", 60), ("max_tries", 8)):
        assert SETTINGS[name].default == default
        assert re.search(rf"{name}: [^:]*[; ]{default} when not set", docstring.replace(". ", " ")), name


def test_every_argument_can_be_left_out() -> None:
    for name, parameter in inspect.signature(llama_extract).parameters.items():
        assert parameter.default is None, name
    assert get_args(inspect.signature(llama_extract).parameters["deleted_runs"].annotation) == (
        "flag",
        "remove",
        "ignore",
    )

"""What the documentation says is so: its examples run, its figures are right, its names exist."""

import ast
import datetime
import inspect
import json
import os
import re
import subprocess
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_type_hints

import duckdb
import pytest

from llama_cloud_emulator import Emulator
from llama_extract_dlt import Progress, llama_extract, settings
from llama_extract_dlt.cli.console import describe
from llama_extract_dlt.service.records import FINAL, IN_FLIGHT
from llama_extract_dlt.tracking import agent_sync
from llama_extract_dlt.tracking.agent_state import AgentState
from support.command import Outcome, outcome, start_python
from support.ducklake import install_extensions
from support.places import ROOT
from support.postgres import PostgresServer
from support.warehouse import Warehouse, with_text

SOURCE = ROOT / "sources/llama_extract_dlt"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", SOURCE / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMAND = ROOT / "pipelines/runs.py"
ELSEWHERE = {"docs/airflow.md", "docs/dagster.md"}
"""Pages whose examples run in an environment of their own: tests/orchestrators."""


class Example(NamedTuple):
    """A block of code: the page it is on, the heading above it, its text."""

    page: str
    heading: str
    text: str


def examples(language: str, page: str = "") -> list[Example]:
    """The blocks of code in this language, in order."""
    found = []
    for path in PAGES:
        heading = ""
        for match in re.finditer(r"^#+ ([^\n]+)$|^```(\w+)\n(.*?)^```$", path.read_text(), re.MULTILINE | re.DOTALL):
            heading = match[1] or heading
            if match[2] == language:
                found.append(Example(str(path.relative_to(ROOT)), heading, match[3]))
    return [example for example in found if page in ("", example.page)]


def named(example: Example) -> str:
    return f"{example.page}: {example.heading}"


def prose() -> str:
    return "\n".join(page.read_text() for page in PAGES)


def section(page: str, heading: str) -> str:
    """What stands under a heading, smaller headings included."""
    text = (ROOT / page).read_text()
    found = re.search(rf"^(#+) {re.escape(heading)}\n(.*?)(?=^#{{1,2}} |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, (page, heading)
    return found[2]


def rows_of(page: str, heading: str) -> list[list[str]]:
    """The rows of the tables under a heading, their heads left out."""
    lines = re.findall(r"^\| (.*) \|$", section(page, heading), re.MULTILINE)
    heads = {number for number, line in enumerate(lines) if line.startswith("---")}
    cells = [re.split(r" \| ", line) for number, line in enumerate(lines) if not {number, number + 1} & heads]
    assert cells
    return cells


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """The demo's runs, an item that is no run, and a run that was deleted."""
    folder = tmp_path_factory.mktemp("docs")
    with pytest.MonkeyPatch.context() as patch, Emulator(runs=300, seed=1) as cloud:
        patch.setenv("DLT_DATA_DIR", str(folder / "dlt"))
        patch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
        cloud.add_raw_item(cloud.agents()[0]["id"], b'"a run?"')
        deleted = cloud.add_run(status="PENDING")  # without data: the other queries do not see it
        warehouse = Warehouse(cloud, folder / "demo.duckdb")
        warehouse.load()
        cloud.delete_run(deleted["id"])
        warehouse.load()
        yield warehouse
        warehouse.close()


# ── examples run ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("example", examples("sql"), ids=named)
def test_every_query_gives_rows(loaded: Warehouse, example: Example) -> None:
    assert loaded.sql(example.text)


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Warehouse]]:
    """Projects with other agents, or none, each loaded once."""
    found = {}
    folder = tmp_path_factory.mktemp("projects")
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
        for corpus in PROJECTS:
            patch.setenv("DLT_DATA_DIR", str(folder / corpus / "dlt"))
            cloud = stack.enter_context(Emulator(runs=40, seed=3, corpus=corpus))
            found[corpus] = Warehouse(cloud, folder / f"{corpus}.duckdb")
            found[corpus].load()
            found[corpus].close()
        yield found


PROJECTS = ("mixed", "only-invoices", "only-claim-forms", "empty")


@pytest.mark.parametrize("corpus", PROJECTS)
@pytest.mark.parametrize(
    "example", [one for one in examples("sql") if "extraction_runs__data" not in one.text], ids=named
)
def test_every_query_runs_whatever_the_agents_are(
    projects: dict[str, Warehouse], corpus: str, example: Example
) -> None:
    """Only queries that name fields of the demo's agents need these."""
    assert isinstance(projects[corpus].sql(example.text), list)


def test_queries_of_the_readme_name_no_field_of_the_data() -> None:
    assert len(examples("sql", "README.md")) > 3
    assert not any("extraction_runs__data" in one.text for one in examples("sql", "README.md"))


@pytest.mark.parametrize("corpus", PROJECTS[1:])
def test_the_contracts_tables_are_the_same_in_every_project(projects: dict[str, Warehouse], corpus: str) -> None:
    def columns(name: str) -> set[tuple[str, ...]]:
        query = "select table_name, column_name, data_type from information_schema.columns"
        where = "table_schema = 'llama_extract' and table_name not like 'extraction_runs__data%'"
        return {row for row in projects[name].sql(f"{query} where {where}") if row[1] not in new_at_the_service}

    # What the API's description does not have comes with its first value.
    new_at_the_service = {"extraction_metadata__usage__num_reasoning_tokens"}
    assert columns(corpus) == columns("mixed")


@pytest.mark.parametrize("page", sorted({example.page for example in examples("python")} - ELSEWHERE))
def test_every_python_example_runs(
    page: str,
    cloud: Emulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    monkeypatch.setenv("LLAMA_CLOUD_API_KEY", cloud.api_key)
    monkeypatch.setenv("LLAMA_CLOUD_BASE_URL", cloud.base_url)
    if any("ducklake" in example.text for example in examples("python", page)):
        install_extensions()
    if any('destination="postgres"' in example.text for example in examples("python", page)):
        server: PostgresServer = request.getfixturevalue("server")
        monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS", server.database())
    for example in examples("python", page):
        exec(compile(example.text, named(example), "exec"), {"__name__": "__main__"})
    if "extractions.duckdb" in os.listdir(tmp_path):
        with duckdb.connect(str(tmp_path / "extractions.duckdb")) as connection:
            assert connection.execute("select count(*) from llama_extract.extraction_runs").fetchone()[0] > 0


@pytest.mark.parametrize("example", examples("toml"), ids=named)
def test_every_toml_example_is_toml_that_names_real_settings(example: Example) -> None:
    tables = tomllib.loads(example.text)
    ours = tables.get("sources", {}).get("llama_extract", {})
    assert set(ours) <= set(inspect.signature(llama_extract).parameters)
    assert ours or "destination" in tables


def test_the_load_that_the_readme_starts_with_works(cloud: Emulator, tmp_path: Path) -> None:
    lines = "\n".join(example.text for example in examples("bash", "README.md"))
    (arguments,) = re.findall(r"llama-extract (--agent \w+)", lines)
    ended = run_command(*arguments.split(), "--json", cloud=cloud, folder=tmp_path)
    assert ended.code == 0, ended.err
    (agent,) = [agent for agent in cloud.agents() if agent["name"] == "Invoices"]
    assert json.loads(ended.out)["runs"]["new"] == len(cloud.runs(agent["id"]))
    (summary,) = [json.loads(example.text) for example in examples("json")]
    assert set(json.loads(ended.out)) == set(summary)
    assert set(json.loads(ended.out)["runs"]) == set(summary["runs"])
    assert set(json.loads(ended.out)["agents"][agent["id"]]) == set(*summary["agents"].values())
    assert [name.strip("`") for name, _ in rows_of("docs/operations.md", "What a load says")] == list(summary)
    assert list(tmp_path.glob("*.duckdb"))


def test_the_demo_prints_what_the_readme_shows(tmp_path: Path) -> None:
    printed = run_command("--demo", folder=tmp_path).err
    (shown,) = [e.text for e in examples("text", "README.md") if e.heading == "Try it"]
    lines = timeless(printed)
    for line in timeless(shown):
        assert line in ("…", *lines)
    assert (tmp_path / "llamacloud_demo.duckdb").exists()


def test_a_load_says_what_the_docs_show(tmp_path: Path) -> None:
    shown, progress = examples("text", "docs/operations.md")
    assert (
        describe(Progress("reading", "Invoices", 3200, 6000, 7200, 20000, 85, 245, 480.0), 20) == progress.text.strip()
    )
    with Emulator(runs=60, seed=1) as cloud:
        assert run_command("--quiet", cloud=cloud, folder=tmp_path).code == 0
        agents = {agent["name"]: agent["id"] for agent in cloud.agents()}
        for _ in range(3):
            cloud.add_run(agents["Invoices"])
        cloud.delete_run(cloud.runs(agents["Bank statements"])[3]["id"])
        said = run_command(cloud=cloud, folder=tmp_path).err
    assert timeless(said) == timeless(shown.text)


def test_a_refresh_loads_everything_anew(tmp_path: Path) -> None:
    """Runs are not compared with tables that are about to be dropped."""
    with Emulator(runs=5, seed=1, corpus="invoices") as cloud:
        for options in ([], ["--refresh"]):
            assert run_command("--quiet", *options, cloud=cloud, folder=tmp_path).code == 0
    with duckdb.connect(str(tmp_path / "llamacloud.duckdb")) as connection:
        connection.execute("use llamacloud.llama_extract")
        assert connection.execute("select count(*) from extraction_runs").fetchall() == [(5,)]


def timeless(text: str) -> list[str]:
    """Lines without how long it took."""
    return [re.sub(r"in \d+\.\d s", "", line).strip() for line in text.splitlines()]


def run_command(*arguments: str, folder: Path, cloud: Emulator | None = None) -> Outcome:
    service = {"LLAMA_CLOUD_API_KEY": cloud.api_key, "LLAMA_CLOUD_BASE_URL": cloud.base_url} if cloud else {}
    given = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")} | service
    return outcome(start_python([str(COMMAND), *arguments], cwd=folder, env=given))


# ── figures are right ─────────────────────────────────────────────────────────────────────────────────────────────


def query_of(loaded: Warehouse, heading: str, page: str = "README.md", number: int = 0) -> list[tuple[Any, ...]]:
    return loaded.sql([e.text for e in examples("sql", page) if e.heading == heading][number])


def leaves(tree: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], dict[str, Any]]]:
    """The leaves of a tree of field metadata that have a confidence or a citation."""
    if isinstance(tree, dict) and (
        isinstance(tree.get("confidence"), float | int) or isinstance(tree.get("citation"), list)
    ):
        yield path, tree
    elif isinstance(tree, dict | list):
        for step, below in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from leaves(below, (*path, step))


def trees(loaded: Warehouse, agent: str | None = None) -> Iterator[tuple[dict[str, Any], Any]]:
    ids = {one["id"] for one in loaded.cloud.agents() if agent in (None, one["name"])}
    for run in loaded.cloud.runs():
        if run["extraction_agent_id"] in ids and run["extraction_metadata"]:
            yield run, run["extraction_metadata"].get("field_metadata")


def test_total_by_vendor_is_what_the_api_says(loaded: Warehouse) -> None:
    expected: dict[tuple[str, str], list[float]] = defaultdict(list)
    for run in loaded.cloud.runs():
        if isinstance(run["data"], dict) and run["data"].get("vendor"):
            total = run["data"]["total"]
            expected[run["data"]["vendor"]["name"], run["data"]["currency"]].append(
                total if isinstance(total, int | float) else 0
            )
    rows = query_of(loaded, "Examples", "docs/tables.md")
    assert {row[:3] for row in rows} == {(*key, len(totals)) for key, totals in expected.items()}
    assert {row[:2]: row[3] for row in rows} == pytest.approx({key: sum(totals) for key, totals in expected.items()})


def test_confidence_by_field_is_what_the_api_says(loaded: Warehouse) -> None:
    names = {agent["id"]: agent["name"] for agent in loaded.cloud.agents()}
    expected: dict[tuple[str, str], list[float]] = defaultdict(list)
    for run, tree in trees(loaded):
        for path, leaf in leaves(tree):
            if leaf.get("confidence") is not None:
                field = ".".join(step for step in path if isinstance(step, str))
                expected[names[run["extraction_agent_id"]], field].append(leaf["confidence"])
    rows = query_of(loaded, "Confidence by field")
    assert {row[:2]: row[3:] for row in rows} == {key: (min(found), len(found)) for key, found in expected.items()}
    averages = {key: sum(found) / len(found) for key, found in expected.items()}
    assert {row[:2]: row[2] for row in rows} == pytest.approx(averages)
    assert len(rows) > 50


def values_with_metadata(loaded: Warehouse) -> Iterator[tuple[dict[str, Any], str, str | None, dict[str, Any]]]:
    """Runs, paths in their data, the values there as text, and what is known of them."""
    for run, tree in trees(loaded):
        for path, leaf in leaves(tree):
            yield run, ".".join(map(str, path)), with_text(run["data"], path).get("data_value"), leaf


def test_the_least_confident_values_are_those_of_the_api(loaded: Warehouse) -> None:
    names = {agent["id"]: agent["name"] for agent in loaded.cloud.agents()}
    files = {row["_run_id"]: row["name"] for row in loaded.rows("extraction_runs__file")}
    expected = []
    for run, path, value, leaf in values_with_metadata(loaded):
        if value is not None and leaf.get("confidence") is not None:
            first = (leaf.get("citation") or [{}])[0]
            known = (names[run["extraction_agent_id"]], files.get(run["id"]), path, value)
            expected.append((*known, leaf["confidence"], first.get("page"), first.get("matching_text")))
    rows = query_of(loaded, "What a person should look at")
    assert len(rows) == 20
    assert [row[4] for row in rows] == sorted(row[4] for row in expected)[:20]
    assert set(rows) <= set(expected)


def test_what_changed_between_two_extractions_is_what_the_api_says(loaded: Warehouse) -> None:
    extractions: dict[tuple[str, str, str], list[tuple[str, str | None]]] = defaultdict(list)
    for run, path, value, _ in values_with_metadata(loaded):
        if run["file_id"]:
            extractions[run["extraction_agent_id"], run["file_id"], path].append((run["created_at"], value))
    expected = Counter(
        (path, before, after)
        for (_, _, path), found in extractions.items()
        for earlier, before in found
        for later, after in found
        if later > earlier and before != after
    )
    rows = query_of(loaded, "What changed between two extractions of one file")
    assert Counter(row[2:] for row in rows) == expected
    assert rows


def test_line_items_stand_with_their_run_and_file_as_in_the_api(loaded: Warehouse) -> None:
    files = {row["_run_id"]: row["name"] for row in loaded.rows("extraction_runs__file")}
    expected = [
        (run["id"], (run["file"] or {}).get("name", files.get(run["id"])), position, item["description"])
        for run in loaded.cloud.runs()
        if isinstance(run["data"], dict)
        for position, item in enumerate(run["data"].get("line_items") or [])
    ]
    rows = query_of(loaded, "Examples", "docs/tables.md", 1)
    assert Counter(row[:4] for row in rows) == Counter(expected)


def test_error_rate_by_day_is_what_the_api_says(loaded: Warehouse) -> None:
    days: dict[datetime.date, list[bool]] = defaultdict(list)
    for run in loaded.cloud.runs():
        if run["status"] not in ("CREATED", "PENDING"):
            created = datetime.datetime.fromisoformat(run["created_at"]).astimezone(datetime.UTC)
            days[created.date()].append(run["status"] == "ERROR")
    rows = query_of(loaded, "Error rate by day, in UTC")
    assert [row[:2] for row in rows] == sorted((day, len(found)) for day, found in days.items())
    assert [float(rate) for *_, rate in rows] == pytest.approx([sum(days[row[0]]) / row[1] for row in rows])
    assert any(rate for *_, rate in rows)


def test_a_load_costs_as_many_requests_as_the_docs_say(tmp_path: Path) -> None:
    costs: dict[str, int] = {}
    with Emulator(runs=250, seed=1, corpus="invoices") as cloud:
        warehouse = Warehouse(cloud, tmp_path / "costs.duckdb")

        def load(what: str, **arguments: Any) -> None:
            warehouse.load(lookup_files=False, **arguments)
            costs[what] = len(cloud.requests)
            cloud.reset_requests()

        old = "2020-01-01T00:00:00Z"  # at the end of the list
        in_flight = [cloud.add_run(status="PENDING", created_at=old, updated_at=old) for _ in range(3)]
        load("first, or of a new agent")
        load("3 runs in flight")
        for run in in_flight:
            cloud.finish_run(run["id"])
        load("as they finish")
        load("nothing new")
        for _ in range(20):
            cloud.add_run()
        load("20 new runs")
        load("full scan", full_scan=True)
        load("window", since="2026-01-01")
        agent = cloud.add_agent("New", {})
        for _ in range(120):
            cloud.add_run(agent["id"], data={})
        load("a new agent with 120 runs")
        warehouse.close()
    assert costs.pop("as they finish") == costs["3 runs in flight"]
    assert costs == {what: int(count) for what, _, count in rows_of("docs/how-sync-works.md", "What it costs")}


def test_deleted_rows_come_back_as_the_docs_say(tmp_path: Path) -> None:
    with Emulator(runs=3, seed=1, corpus="invoices") as cloud:
        warehouse = Warehouse(cloud, tmp_path / "warehouse.duckdb")
        warehouse.load()
        whole = warehouse.content()
        run = warehouse.rows("extraction_runs__data__line_items")[0]["_run_id"]

        def whole_after_deleting(table: str, key: str, **arguments: Any) -> bool:
            with duckdb.connect(str(warehouse.path)) as connection:
                connection.execute(f"delete from llama_extract.{table} where {key} = ?", [run])
            warehouse.load(**arguments)
            return warehouse.content() == whole

        assert not whole_after_deleting("extraction_runs__data__line_items", "_run_id")
        assert whole_after_deleting("extraction_runs__data__line_items", "_run_id", full_scan=True)
        assert not whole_after_deleting("extraction_runs", "id")
        assert whole_after_deleting("extraction_runs", "id", full_scan=True)
        warehouse.close()


# ── names exist ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_options_and_settings_are_documented_and_exist(tmp_path: Path) -> None:
    option = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
    helped = run_command("--help", folder=tmp_path).out
    text = (ROOT / "docs/configuration.md").read_text()
    assert set(option.findall(helped)) <= set(option.findall(text))
    measuring = ""
    for module in ("benchmarks", "benchmarks.workers", "benchmarks.scale"):
        command = [sys.executable, "-m", module, "--help"]
        measuring += subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    other_programs = re.compile(r"^[$#] (airflow|docker|kubectl|systemctl) ([^\n]*\\\n)*[^\n]*", re.MULTILINE)
    assert set(option.findall(other_programs.sub("", prose()))) <= set(option.findall(helped + measuring))
    for code in re.findall(r"\b(\d+) [a-z]", " ".join(helped.split("Exit codes:")[1].split())):
        assert f"\n| {code} | " in text

    parameters = inspect.signature(llama_extract).parameters
    table = dict(re.findall(r"^\| `(\w+)` \| ([^|]+?) \|.*SOURCES__LLAMA_EXTRACT__", text, re.MULTILINE))
    assert list(table) == list(parameters)
    for name, parameter in parameters.items():
        assert f"`SOURCES__LLAMA_EXTRACT__{name.upper()}`" in text
        if isinstance(parameter.default, int | float):
            assert json.loads(table[name].strip("`")) == parameter.default
    assert settings.BASE_URL in table["base_url"]
    assert {name.lower() for name in re.findall(r"SOURCES__LLAMA_EXTRACT__([A-Z]\w+)", prose())} <= set(parameters)


def test_numbers_in_the_docs_are_those_of_the_settings() -> None:
    page = "docs/how-sync-works.md"
    for name, value, _ in rows_of(page, "Numbers"):
        assert float(value.replace(",", "")) == getattr(settings, name.strip("`")), name
    text = (ROOT / page).read_text()
    named = {name for name in re.findall(r"`([A-Z]+(?:_[A-Z]+)*)`", text) if name not in IN_FLIGHT | FINAL}
    assert all(hasattr(settings, name) for name in named - {"DLT_DATA_DIR"})
    batch = f"{settings.BATCH_RUNS:,} runs or {settings.BATCH_BYTES // 2**20} MiB"
    for said, where in (
        (f"a lag of {settings.LAG / 60:.0f} minutes (`LAG`)", page),
        (f"flight for {settings.UNKNOWN_STATUS_DAYS:.0f} days after its last change (`UNKNOWN_STATUS_DAYS`)", page),
        (f"older than `full_scan_every`, {settings.FULL_SCAN_EVERY:.0f} days by default", page),
        (f"commits {settings.CHUNK_SIZE:,} runs at a time, `CHUNK_SIZE`", page),
        (f"{settings.PAGE_SIZE} runs a page read {settings.PAGE_SIZE - settings.PAGE_OVERLAP} further", page),
        (f"however old, {settings.CHUNK_SIZE:,} at a time", "docs/operations.md"),
        (f"two batches (of {batch} of JSON", "docs/operations.md"),
        (f"runs to commit at a time, {settings.CHUNK_SIZE} by default", "docs/configuration.md"),
        (f"the command commits {settings.CHUNK_SIZE:,} runs", "docs/performance.md"),
    ):
        assert said in " ".join((ROOT / where).read_text().split()), said


def test_names_in_the_account_of_the_sync_are_in_the_code() -> None:
    page = "docs/how-sync-works.md"
    members = set()
    for path in SOURCE.rglob("*.py"):
        for found in ast.walk(ast.parse(path.read_text())):
            if isinstance(found, ast.ClassDef):
                members |= {f"{found.name}.{part.name}" for part in found.body if isinstance(part, ast.FunctionDef)}
                members |= {
                    f"{found.name}.{part.name}" for part in found.body if isinstance(part, ast.AsyncFunctionDef)
                }
                members |= {
                    f"{found.name}.{part.target.id}"
                    for part in found.body
                    if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name)
                }
    named = set(re.findall(r"`([A-Z]\w+\.\w+)`", (ROOT / page).read_text()))
    assert len(named) > 5
    assert named <= members
    (picture,) = examples("mermaid", page)
    steps = set(re.findall(r"\b_\w+", picture.text))
    assert len(steps) > 3
    assert steps <= set(vars(agent_sync.AgentSync))
    assert [key.strip("`") for key, _ in rows_of(page, "What is remembered")] == list(AgentState.__struct_fields__)
    choices = get_args(get_type_hints(llama_extract)["deleted_runs"])
    assert [re.findall(r'"(\w+)"', choice)[0] for choice, _ in rows_of(page, "Deletions")] == list(choices)


def test_messages_in_the_troubleshooting_table_are_in_the_code() -> None:
    constants = []
    for path in (*SOURCE.rglob("*.py"), COMMAND):
        constants += [node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)]
    said = "\n".join(one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one) for one in constants)
    text = (ROOT / "docs/operations.md").read_text().split("## Troubleshooting")[1]
    messages = re.findall(r"^\| `([^`]+)`", text.split("These come from dlt")[0], re.MULTILINE)
    assert len(messages) > 15
    for message in messages:
        for part in message.split("…"):
            assert part.strip("; ") in said, message


def test_tables_in_the_docs_are_those_of_a_load(loaded: Warehouse) -> None:
    text = (ROOT / "docs/tables.md").read_text()
    documented = set(re.findall(r"^\| `(extraction_\w+)` \|", text, re.MULTILINE))
    data = {table for table in loaded.tables() if table.startswith("extraction_runs__data__")}
    assert documented == set(loaded.tables()) - data


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
            if not target.startswith("https://"):
                path, _, anchor = target.partition("#")
                linked = page.parent / path if path else page
                assert linked.exists(), (page.name, target)
                headings = re.findall(r"^#+ (.+)$", linked.read_text(), re.MULTILINE) if anchor else []
                slugs = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
                assert not anchor or anchor in slugs, (page.name, target)


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 150

"""The scheduled command, run as cron runs it: a process of its own, with hardly any environment, in some folder."""

import fcntl
import json
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import termios
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from llama_cloud_emulator import Emulator
from llama_extract_dlt import Progress
from llama_extract_dlt.cli.console import describe
from support.command import KEY, Command, Held, outcome
from support.places import ROOT

Content = dict[str, Counter[str]]
Environment = dict[str, str | None]


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*")}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Content:
    """What a load that nothing disturbed leaves of the invoices."""
    with invoices() as cloud, pytest.MonkeyPatch.context() as patch:
        command = Command(cloud, tmp_path_factory.mktemp("whole"))
        patch.setenv("DLT_DATA_DIR", command.environment["DLT_DATA_DIR"])  # of this process, too
        assert command().code == 0
        return command.warehouse().content()


def invoices() -> Emulator:
    return Emulator(runs=12, seed=3, corpus="invoices", page_limit=2, api_key=KEY)


@pytest.fixture
def cloud() -> Iterator[Emulator]:
    """A LlamaCloud with few runs, on several pages, of one agent; every load reads the same."""
    with invoices() as emulator:
        yield emulator


@pytest.fixture
def command(cloud: Emulator, tmp_path: Path) -> Iterator[Command]:
    command = Command(cloud, tmp_path)
    yield command
    for process in command.started:
        if process.poll() is None:  # the test has failed
            process.kill()
            process.communicate()


# ── what it says and loads ────────────────────────────────────────────────────────────────────────────────────────


def test_a_load_says_as_json_what_it_did_and_a_second_one_changes_nothing(tmp_path: Path) -> None:
    with Emulator(runs=25, seed=7, api_key=KEY) as cloud:
        command = Command(cloud, tmp_path)
        code, out, err = command("--json")
        assert code == 0
        summary = json.loads(out)
        assert out.count("\n") == 1
        assert "runs: 25 new (" in err
        assert "\r" not in err
        house = command.warehouse()
        assert summary["tables"] == {table: rows for table in house.tables() if (rows := len(house.rows(table)))}
        assert summary["runs"] == {"new": 25, "updated": 0, "unchanged": 0, "deleted": 0, "rejected": 0, "missing": []}
        assert summary["requests"] == len(cloud.requests)
        assert summary["seconds"] > 0
        assert [(load_id,) for load_id in summary["load_ids"]] == house.sql("select load_id from _dlt_loads")
        assert files(tmp_path) >= {"llamacloud.duckdb"}
        assert command("-q") == (0, "", "")
        assert command.warehouse().content() == house.content()


def test_what_was_asked_for_and_is_not_there_is_named_even_when_quiet(cloud: Emulator, command: Command) -> None:
    first, second = cloud.runs()[:2]
    no_run, no_job = str(uuid.uuid4()), str(uuid.uuid4())
    chosen = ["--run-id", first["id"], "--run-id", no_run, "--job-id", second["job_id"], "--job-id", no_job]
    code, out, err = command("-q", "--json", *chosen)
    assert code == 3
    assert json.loads(out)["runs"] == {
        "new": 2,
        "updated": 0,
        "unchanged": 0,
        "deleted": 0,
        "rejected": 0,
        "missing": [no_run, no_job],
    }
    assert err == f"not found: {no_run}\nnot found: {no_job}\n"
    assert {row["id"] for row in command.warehouse().rows("extraction_runs")} == {first["id"], second["id"]}


def test_what_is_no_run_is_counted_and_the_rest_loads(cloud: Emulator, command: Command) -> None:
    cloud.add_raw_item(cloud.agents()[0]["id"], b'{"status": "SUCCESS"}')
    code, out, err = command("--json")
    assert code == 3
    assert json.loads(out)["runs"] == {
        "new": 12,
        "updated": 0,
        "unchanged": 0,
        "deleted": 0,
        "rejected": 1,
        "missing": [],
    }
    assert "1 could not be read" in err


def test_a_choice_on_the_command_line_replaces_the_configured_one(cloud: Emulator, command: Command) -> None:
    run = cloud.runs()[0]["id"]
    assert command("-q", "--run-id", run, SOURCES__LLAMA_EXTRACT__AGENTS='["Invoices"]') == (0, "", "")
    assert [row["id"] for row in command.warehouse().rows("extraction_runs")] == [run]


def test_the_demo_needs_no_account_and_shows_what_it_loaded(command: Command, tmp_path: Path) -> None:
    elsewhere: Environment = {
        "LLAMA_CLOUD_API_KEY": None,
        "LLAMA_CLOUD_BASE_URL": "https://127.0.0.1:9",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "SOURCES__LLAMA_EXTRACT__PROJECT_ID": str(uuid.uuid4()),
        "SOURCES__LLAMA_EXTRACT__REQUESTS_PER_MINUTE": "0.01",
        "SOURCES__LLAMA_EXTRACT__AGENTS": '["Not in the demo"]',
    }
    code, out, err = command("--demo", **elsewhere)
    assert (code, out) == (0, "")
    for text in ("Runs by agent", "Line items", "a person should look at", "duckdb.connect('llamacloud_demo.duckdb')"):
        assert text in err
    assert "Invoices" in err
    content = command.warehouse("llamacloud_demo").content()
    assert command("--demo", "-q", **elsewhere) == (0, "", "")
    assert command.warehouse("llamacloud_demo").content() == content
    assert files(tmp_path) & {"llamacloud.duckdb", "llama_extract.duckdb", "llama_extract_demo.duckdb"} == set()


def test_help_names_every_option_and_exit_code(command: Command) -> None:
    code, out, _ = command("--help")
    assert code == 0
    for option in ["--demo", "--agent", "--run-id", "--job-id", "--destination", "--dataset", "--json", "-v", "-q"]:
        assert option in out
    for meaning in ("0 all well", "1 failed", "2 wrong usage", "3 loaded, but", "130 interrupted", "143 terminated"):
        assert meaning in " ".join(out.split())
    assert command("--demon").code == 2


def on_terminal(command: Command, *arguments: str, columns: int = 100, **environment: str) -> str:
    """What the command, which ends well, writes to a terminal of that width."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = command.start(*arguments, stderr=its, TERM="xterm-256color", **environment)
    os.close(its)
    shown = b""
    with suppress(OSError):  # how Linux says that nobody has the other end any more
        while chunk := os.read(ours, 4096):
            shown += chunk
    os.close(ours)
    assert outcome(process).code == 0
    return shown.decode()


def lines_of(shown: str) -> list[str]:
    """What stood on the lines of the terminal, one after the other."""
    return [
        line for line in re.split(r"\x1b\[\??[0-9;]*[A-LS-Zhl]|[\r\n]", re.sub(r"\x1b\[[0-9;]*m", "", shown)) if line
    ]


def test_progress_is_shown_on_a_terminal(command: Command) -> None:
    said = lines_of(on_terminal(command))
    assert said[0] == "0 runs · 0 requests"
    assert [line for line in said if line.startswith("preparing · ")]
    assert f"loading · 12 runs · {len(command.cloud.requests)} requests" in said
    assert said[-1].startswith("runs: 12 new (")


def test_a_narrow_terminal_shows_whole_numbers_on_one_line_each(tmp_path: Path) -> None:
    with Emulator(runs=60, seed=1, api_key=KEY) as cloud:
        agent = cloud.add_agent("[red]A name[/] :smile: that is long, " * 3, {})
        for _ in range(1001):
            cloud.add_run(agent["id"], data={})
        shown = on_terminal(Command(cloud, tmp_path), columns=60, NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", shown)
    said = lines_of(shown)
    assert max(map(len, said[:-1])) <= 60
    (heads,) = [line for line in said if line.startswith("agent ")]
    (long,) = [line for line in said if line.startswith("[red]") and "·" not in line]
    assert heads.split() == ["agent", "new", "updated", "unchanged", "deleted", "requests"]
    assert long.split()[-5:-1] == ["1,001", "0", "0", "0"]
    assert heads.index("new") + len("new") == long.index("1,001") + len("1,001")


def test_the_progress_line_says_how_far_how_long_and_what_it_waits_for() -> None:
    whole = Progress("reading", "Invoices", 3200, 6000, 7200, 20000, 85, 245, 480.0)
    assert describe(whole, 20) == (
        "Invoices 3,200 of 6,000 · 7,200 of 20,000 runs · 85 of about 245 requests · 8 min left (20 a minute)"
    )
    long = describe(replace(whole, agent="An agent whose name is long enough for two lines"), 20)
    assert long.startswith("An agent whose name is … 3,200 of 6,000 · 7,200 of 20,000 runs")
    assert describe(replace(whole, seconds_left=7500.0), None).endswith(" · 2 h 5 min left")
    assert describe(Progress(waiting="the rate limit"), None) == "0 runs · 0 requests · waiting: the rate limit"
    assert describe(replace(whole, step="loading", seconds_left=None), 20).startswith("loading · 7,200 of 20,000 runs")


def test_a_dry_run_says_how_long_the_load_takes_and_promises_nothing_of_a_window(command: Command) -> None:
    slowly = {"SOURCES__LLAMA_EXTRACT__REQUESTS_PER_MINUTE": "20"}
    code, out, err = command("--dry-run", "--json", **slowly)
    plan = json.loads(out)
    assert (code, plan["seconds"]) == (0, round(plan["requests"] * 61 / 20))
    assert err.endswith(f"a load would take {plan['requests']} requests, {plan['seconds']} s at 20 a minute\n")
    code, out, err = command("--dry-run", "--json", "--since", "2020-01-01")
    assert (code, json.loads(out)["seconds"]) == (0, None)
    assert "up to 12" in err


def test_the_version_and_the_help_come_before_anything_that_takes_time(command: Command) -> None:
    for option in ("--version", "--help"):
        line = [sys.executable, "-X", "importtime", "-m", "llama_extract_dlt", option]
        ended = subprocess.run(line, cwd=command.folder, env=command.environment, capture_output=True, text=True)
        imported = {row.split("|")[-1].strip() for row in ended.stderr.splitlines()}
        assert ended.returncode == 0
        assert {name.split(".")[0] for name in imported} & {"dlt", "pyarrow", "rich", "httpx", "duckdb"} == set()
        assert "llama_extract_dlt.cli.main" in imported
        assert re.match(r"llama-extract \d+\.\d+" if option == "--version" else "usage: llama-extract ", ended.stdout)


def test_what_the_demo_says_to_do_next_can_be_pasted(command: Command, tmp_path: Path) -> None:
    command.folder = tmp_path / 'it\'s a $HOME "folder"'
    command.folder.mkdir()
    _, _, err = command("--demo", DESTINATION__DUCKDB__CREDENTIALS='it\'s `a` $HOME "file".duckdb')
    look, *own = [line.strip() for line in err.splitlines() if line.startswith("    ")]

    def paste(*lines: str) -> subprocess.CompletedProcess[str]:
        script = "\n".join(lines)
        return subprocess.run(
            ["sh", "-ec", script], cwd=command.folder, env=command.environment, capture_output=True, text=True
        )

    seen = paste(look)
    assert (seen.returncode, "agent_name" in seen.stdout) == (0, True)
    loaded = paste(*[line.replace("llx-...", KEY) for line in own])
    assert (loaded.returncode, "runs: 12 new" in loaded.stderr) == (0, True), loaded.stderr


# ── settings ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_it_runs_anywhere_with_the_settings_at_hand_or_else_those_beside_the_code(
    command: Command, whole: Content, tmp_path: Path
) -> None:
    project, home, elsewhere = tmp_path / "project", tmp_path / "home", tmp_path / "elsewhere"
    shutil.copytree(ROOT / "pipelines", project / "pipelines")
    command.script = project / "pipelines" / "runs.py"
    for folder in (project, home, elsewhere):
        (folder / ".dlt").mkdir(parents=True)
    # In a home folder, .dlt has what dlt keeps for itself. All share it, and yet each has a database of its own.
    command.environment |= {"HOME": str(home), "DLT_DATA_DIR": str(home / ".dlt")}
    command.folder = home
    assert command("-q") == (0, "", "")
    assert command.warehouse().content() == whole
    account = f'[sources.llama_extract]\napi_key = "{KEY}"\nbase_url = "{command.cloud.base_url}"\n'
    command.environment |= {"LLAMA_CLOUD_API_KEY": "", "LLAMA_CLOUD_BASE_URL": ""}
    (project / ".dlt" / "secrets.toml").write_text(account)
    command.folder = elsewhere
    assert command("-q") == (0, "", "")
    assert command.warehouse().content() == whole
    at_hand = '[destination.duckdb]\ncredentials = "at_hand.duckdb"\n'
    (elsewhere / ".dlt" / "secrets.toml").write_text(account + at_hand)
    assert command("-q") == (0, "", "")
    assert command.warehouse("at_hand").content() == whole


def test_a_file_named_like_its_dataset_is_refused_before_anything_is_sent(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "sales.duckdb"
    code, out, err = command("-q", "--dataset", "sales", DESTINATION__DUCKDB__CREDENTIALS=f"duckdb:///{path}")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"the DuckDB file {path} is called like its dataset" in err
    assert command.cloud.requests == []
    assert not path.exists()
    assert command("-q", "--dataset", "sales") == (0, "", "")


def test_a_database_of_the_version_before_is_not_left_behind_unawares(
    command: Command, whole: Content, tmp_path: Path
) -> None:
    before = {"DESTINATION__DUCKDB__CREDENTIALS": "before.duckdb"}
    assert command("-q", **before) == (0, "", "")
    (tmp_path / "before.duckdb").rename(tmp_path / "llama_extract.duckdb")
    command.cloud.reset_requests()
    code, out, err = command()
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert command.cloud.requests == []
    (moves,) = re.findall(r"to go on with that, (.*); to begin anew", err)
    subprocess.run(["sh", "-c", moves], cwd=tmp_path, check=True)
    code, _, err = command()
    assert (code, " new" in err, " unchanged" in err) == (0, False, True)
    assert command.warehouse().content() == whole
    (tmp_path / "llama_extract.duckdb").touch()
    assert command("-q") == (0, "", "")  # with both there, it is plain which one counts


# ── what goes wrong ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "LLAMA_CLOUD_API_KEY"),
        (["--run-id", "run-7"], "'run-7'"),
        (["--job-id", "job-7"], "'job-7'"),
        (["--dataset", "Odd name"], "--dataset odd_name"),
    ],
)
def test_nothing_is_sent_or_written_when_it_is_wrong_from_the_start(
    cloud: Emulator, command: Command, tmp_path: Path, arguments: list[str], named: str
) -> None:
    code, out, err = command(*arguments, LLAMA_CLOUD_API_KEY=KEY if arguments else None)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert named in err
    assert files(tmp_path) == set()
    assert cloud.requests == []


PASSWORD = "a-password-that-must-stay-secret"
FAILURES: list[tuple[int, str, list[str], dict[str, str]]] = [
    (1, "check api_key", [], {"LLAMA_CLOUD_API_KEY": "llx-another"}),
    (1, "cannot connect to 127.0.0.1:1 ", [], {"LLAMA_CLOUD_BASE_URL": "http://127.0.0.1:1"}),
    (1, "SSL", [], {"LLAMA_CLOUD_BASE_URL": "https{base_url}"}),
    (2, "must look like", [], {"LLAMA_CLOUD_BASE_URL": "cloud"}),
    (2, "must look like", [], {"LLAMA_CLOUD_BASE_URL": "http://localhost:99999"}),
    (2, "must look like", [], {"LLAMA_CLOUD_BASE_URL": "https://xn--"}),
    (2, "no agent 'llx-…'", ["--agent", KEY], {}),
    (2, "--destination is empty", ["--destination", ""], {}),
    (2, "unencrypted", [], {"LLAMA_CLOUD_BASE_URL": "http://cloud.example"}),
    (2, "'Default', 'Invoices'", ["--agent", "Invoice"], {}),
    (2, "no destination 'duckbd'", ["--destination", "duckbd"], {}),
    (2, "DESTINATION__POSTGRES__CREDENTIALS", ["--destination", "postgres"], {}),
    (1, "/no.duckdb", [], {"DESTINATION__DUCKDB__CREDENTIALS": "/no/where/no.duckdb"}),
    (2, "no naming convention 'foo'", [], {"SCHEMA__NAMING": "foo"}),
    (2, "a DuckDB in memory", [], {"DESTINATION__DUCKDB__CREDENTIALS": ":memory:"}),
    (1, "cannot make the lock file /dev/null/x/pipelines/", [], {"DLT_DATA_DIR": "/dev/null/x"}),
    (2, "argument --chunk-size: invalid int value: 'few'", ["--chunk-size", "few"], {}),
    (2, "unrecognized arguments: --all", ["--all"], {}),
    *(
        (code, named, ["--destination", name], {f"DESTINATION__{name.upper()}__CREDENTIALS": address})
        for code, named, name, address in [
            (2, "they must begin with postgresql://", "postgres", f"postgresql+psycopg2://u:{PASSWORD}@127.0.0.1:1/x"),
            (1, "Connection refused", "postgres", f"postgresql://u:{PASSWORD}@127.0.0.1:1/x"),
            (2, "the destination motherduck", "duckdb", f"md:x?motherduck_token={PASSWORD}"),
            (2, "the Python module MySQLdb", "sqlalchemy", f"mysql://u:{PASSWORD}@127.0.0.1:1/x"),
        ]
    ),
    (
        1,
        "the destination filesystem cannot be reached (Connect call failed",
        ["--destination", "filesystem"],
        {
            "DESTINATION__FILESYSTEM__BUCKET_URL": "s3://a-bucket",
            "DESTINATION__FILESYSTEM__CREDENTIALS__ENDPOINT_URL": "http://127.0.0.1:1",
            "DESTINATION__FILESYSTEM__CREDENTIALS__AWS_ACCESS_KEY_ID": "a-key",
            "DESTINATION__FILESYSTEM__CREDENTIALS__AWS_SECRET_ACCESS_KEY": PASSWORD,
        },
    ),
]


@pytest.mark.parametrize(("code", "named", "arguments", "environment"), FAILURES, ids=lambda value: str(value)[:40])
def test_a_failure_is_one_line_and_an_exit_code(
    cloud: Emulator, command: Command, code: int, named: str, arguments: list[str], environment: dict[str, str]
) -> None:
    given = {name: value.format(base_url=cloud.base_url[4:]) for name, value in environment.items()}
    actual = command("--json", *arguments, SOURCES__LLAMA_EXTRACT__MAX_TRIES="1", **given)
    assert (actual.code, actual.out, actual.err.count("\n")) == (code, "", 1)
    assert actual.err.startswith("error: ")
    assert named in actual.err
    assert PASSWORD not in actual.err
    # One for the agents where it came so far, and never again what will not pass.
    assert len(cloud.requests) <= 1


def test_nobody_has_to_listen(command: Command) -> None:
    """Started with its outputs closed, as some supervisors do, it loads all the same."""
    script = 'exec "$0" "$@" >&- 2>&-'
    given = [sys.executable, str(command.script), "--json"]
    ended = subprocess.run(["sh", "-c", script, *given], cwd=command.folder, env=command.environment, check=False)
    assert ended.returncode == 0
    assert len(command.warehouse().rows("extraction_runs")) == len(command.cloud.runs())


@pytest.mark.parametrize("option", ["--json", "--demo"])
def test_a_pipe_that_nobody_reads_is_no_failure(command: Command, option: str) -> None:
    process = command.start(option)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    process.stderr.close()
    assert process.wait(timeout=300) == 0
    assert command.warehouse("llamacloud" if option == "--json" else "llamacloud_demo").tables()


def test_a_terminal_that_is_gone_is_no_failure(command: Command) -> None:
    held = Held(command.cloud, 3)
    ours, its = pty.openpty()
    process = command.start(stderr=its)
    os.close(its)
    assert held.reached.wait(timeout=300)
    os.close(ours)
    held.release.set()
    assert outcome(process).code == 0
    assert len(command.warehouse().rows("extraction_runs")) == 12


def test_a_report_that_cannot_be_written_is_a_failure_in_one_line(command: Command) -> None:
    said = command.environment | {"PYTHONUNBUFFERED": "1"}
    for redirected, code, line in (
        (">/dev/full", 1, "error: No space left on device: 'standard output'\n"),
        ("2>/dev/full", 0, ""),
    ):
        script = f'exec "$0" "$@" {redirected}'
        given = [sys.executable, str(command.script), "--json", *(["-q"] if code else [])]
        ended = subprocess.run(
            ["sh", "-c", script, *given], cwd=command.folder, env=said, capture_output=True, text=True
        )
        assert (ended.returncode, ended.stderr) == (code, line)
        assert command.warehouse().tables()


def test_a_disk_that_is_full_is_one_line_that_names_the_folder(command: Command, whole: Content) -> None:
    script = 'ulimit -f 8; exec "$0" "$@"'  # a file that grows beyond that fails as on a full disk
    lake = command.environment | {"DESTINATION__FILESYSTEM__BUCKET_URL": (command.folder / "lake").as_uri()}
    lake["PYTHONDONTWRITEBYTECODE"] = "1"  # a module's bytecode would be cut off, too, and break every later import
    for destination, named in (
        ("duckdb", str(command.folder / "llamacloud.duckdb")),
        ("filesystem", f"'{command.environment['DLT_DATA_DIR']}/pipelines'"),
    ):
        given = [sys.executable, str(command.script), "--destination", destination]
        ended = subprocess.run(
            ["sh", "-c", script, *given], cwd=command.folder, env=lake, capture_output=True, text=True
        )
        assert (ended.returncode, ended.stderr.count("\n")) == (1, 1), ended.stderr
        assert "File too large" in ended.stderr
        assert named in ended.stderr
    (command.folder / "llamacloud.duckdb").unlink()  # which is no database yet
    assert command("-q") == (0, "", "")
    assert command.warehouse().content() == whole


def test_a_lock_file_that_cannot_be_made_is_one_line_that_names_it(command: Command, tmp_path: Path) -> None:
    (tmp_path / ".llamacloud.duckdb.lock").mkdir()
    code, out, err = command()
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert f"cannot make the lock file {tmp_path / '.llamacloud.duckdb.lock'}: " in err


def test_lock_files_go_with_the_load(cloud: Emulator, command: Command, tmp_path: Path) -> None:
    held = Held(cloud, 3)
    process = command.start()
    assert held.reached.wait(timeout=300)
    locks = {name for name in files(tmp_path) if name.endswith(".lock")}
    assert locks == {".llamacloud.duckdb.lock", "llama_extract.lock"}
    process.kill()
    outcome(process)
    held.release.set()
    assert {name for name in files(tmp_path) if name.endswith(".lock")} == locks
    assert command("-q") == (0, "", "")
    assert {name for name in files(tmp_path) if name.endswith(".lock")} == set()


@pytest.mark.parametrize("setting", ["LOAD__WORKERS", "NORMALIZE__WORKERS"])
def test_a_number_of_workers_that_is_none_is_one_line(command: Command, setting: str) -> None:
    code, out, err = command(**{setting: "0"})
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert setting in err


def test_quiet_says_nothing_when_it_loads_into_one_destination_after_another(command: Command, tmp_path: Path) -> None:
    lake = (tmp_path / "lake").as_uri()
    for destination in ("duckdb", "filesystem", "duckdb"):
        ended = command("--quiet", "--destination", destination, DESTINATION__FILESYSTEM__BUCKET_URL=lake)
        assert (ended.code, ended.out) == (0, "")
        assert "differs" not in ended.err
        assert destination == "filesystem" or ended.err == ""


def test_a_database_that_another_process_has_open_is_one_line(command: Command, tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "llamacloud.duckdb")):
        code, out, err = command()
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "lock" in err


def test_tracebacks_are_shown_on_request_and_the_exit_code_stays(command: Command) -> None:
    code, _, err = command("-v", "--destination", "duckbd")
    assert code == 2
    assert "Traceback" in err
    assert err.splitlines()[-1].startswith("error: dlt has no destination 'duckbd'")


@pytest.mark.parametrize("place", ["service", "warehouse"])
def test_a_load_that_failed_is_made_good_by_the_next(
    cloud: Emulator, command: Command, whole: Content, tmp_path: Path, place: str
) -> None:
    table = "llamacloud.llama_extract.extraction_runs__file"
    with duckdb.connect(str(tmp_path / "llamacloud.duckdb")) as connection:
        connection.execute("create schema llama_extract")
        if place == "warehouse":
            connection.execute(f"create table {table} (_run_id varchar, id integer)")  # no room for a UUID
        else:
            cloud.fail(times=None, path="/runs", skip=2, status=401)
    code, out, err = command(SOURCES__LLAMA_EXTRACT__CHUNK_SIZE="2")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert ("Conversion Error" if place == "warehouse" else "check api_key") in err
    cloud.heal()
    with duckdb.connect(str(tmp_path / "llamacloud.duckdb")) as connection:
        if place == "warehouse":
            connection.execute(f"alter table {table} alter column id type varchar")
    assert command("-q") == (0, "", "")
    assert command.warehouse().content() == whole


# ── interruptions ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_load_is_stopped_though_the_service_is_silent_and_the_next_makes_it_good(
    cloud: Emulator, command: Command, whole: Content
) -> None:
    one_by_one = {"SOURCES__LLAMA_EXTRACT__CHUNK_SIZE": "2", "SOURCES__LLAMA_EXTRACT__MAX_CONCURRENCY": "1"}
    for number, code, said in (
        (signal.SIGINT, 130, "interrupted: run again"),
        (signal.SIGTERM, 143, "terminated: run again"),
        (9, -9, ""),
    ):
        held = Held(cloud, 5)
        process = command.start("--json", **one_by_one)
        assert held.reached.wait(timeout=300)
        process.send_signal(number)
        stopped = outcome(process)
        held.release.set()
        assert (stopped.code, stopped.out, stopped.err.count("\n")) == (code, "", 1 if said else 0)
        assert stopped.err.startswith(said)
    assert command("-q") == (0, "", "")
    assert command.warehouse().content() == whole


def test_what_a_run_stopped_while_loading_leaves_is_not_loaded_twice(command: Command, whole: Content) -> None:
    for step, number in (("Normalize", signal.SIGKILL), ("Load", signal.SIGTERM)):
        process = command.start("-v")
        assert process.stderr is not None
        assert any(f" {step} llama_extract in " in line for line in process.stderr)
        process.send_signal(number)
        assert outcome(process).code in (-number, 128 + number)
    assert command("-q") == (0, "", "")
    assert command.warehouse().content() == whole


def test_a_second_run_at_the_same_time_is_kept_out(cloud: Emulator, command: Command) -> None:
    held = Held(cloud, 1)
    first = command.start("-q")
    assert held.reached.wait(timeout=300)
    code, out, err = command()
    held.release.set()
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "another load into the folder" in err
    assert outcome(first) == (0, "", "")


def test_a_later_run_knows_from_the_warehouse_what_the_earlier_loaded(cloud: Emulator, command: Command) -> None:
    run = next(run for run in cloud.runs() if run["data"] and run["data"]["line_items"])
    assert command("-q").code == 0
    shutil.rmtree(command.environment["DLT_DATA_DIR"])
    cloud.edit_run(run["id"], data=None, extraction_metadata=None)
    assert command("-q").code == 0
    house = command.warehouse()
    left = {table for table in house.tables() for row in house.rows(table) if row.get("_run_id") == run["id"]}
    assert left == {"extraction_runs__config", "extraction_runs__file"}

"""The command where nobody watches: ended by a supervisor whatever it is at, with little that it may write to."""

import os
import pty
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

import kubernetes_validate
import psycopg2
import pytest
import yaml

from llama_cloud_emulator import Emulator
from llama_extract_dlt import config
from support.command import KEY, Command, Held, Outcome, outcome
from support.places import ROOT
from support.postgres import PostgresServer, PostgresWarehouse
from support.truth import assert_whole

ENDED = Outcome(143, "", "terminated: run again to finish, nothing will be in the warehouse twice\n")


@pytest.fixture
def cloud() -> Iterator[Emulator]:
    with Emulator(runs=12, seed=3, corpus="invoices", page_limit=2, api_key=KEY) as emulator:
        yield emulator


@pytest.fixture
def command(cloud: Emulator, tmp_path: Path) -> Iterator[Command]:
    command = Command(cloud, tmp_path)
    yield command
    for process in command.started:
        if process.poll() is None:  # the test has failed
            process.kill()
            process.communicate()


def wait_until(due: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    while not due():
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)  # is not what is waited for: it leaves the processor to the load


# ── SIGTERM ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("waiting_for", ["the rate limit", "the next try"])
def test_a_load_that_waits_for_the_service_ends_when_it_is_told_to(
    cloud: Emulator, command: Command, waiting_for: str
) -> None:
    if waiting_for == "the next try":
        cloud.fail(times=None, path="/runs", headers={"Retry-After": "300"})
        settings, said = {}, b"before trying again"
    else:
        settings, said = {"SOURCES__LLAMA_EXTRACT__REQUESTS_PER_MINUTE": "0.1"}, b" 1 requests"
    ours, its = pty.openpty()
    process = command.start(stderr=its, TERM="xterm-256color", COLUMNS="120", **settings)
    os.close(its)
    shown = b""
    while said not in shown:
        shown += os.read(ours, 4096)
    process.send_signal(signal.SIGTERM)
    ended = process.wait(timeout=300)
    with suppress(OSError):  # how Linux says that nobody has the other end any more
        while chunk := os.read(ours, 4096):
            shown += chunk
    os.close(ours)
    assert (ended, outcome(process).out) == (143, "")
    assert shown.decode().endswith(f"\n{ENDED.err[:-1]}\r\n")


class Locked:
    """Holds a lock on a table of a PostgreSQL database, and tells whether somebody waits for it."""

    def __init__(self, url: str, table: str, mode: str) -> None:
        self._connection = psycopg2.connect(url)
        self._connection.cursor().execute(f"lock table llama_extract.{table} in {mode} mode")

    def has_waiting(self) -> bool:
        cursor = self._connection.cursor()
        cursor.execute("select count(*) from pg_locks where locktype = 'relation' and not granted")
        return bool(cursor.fetchall()[0][0])

    def close(self) -> None:
        self._connection.close()


@pytest.mark.parametrize(
    ("table", "mode"),
    [
        pytest.param("_dlt_pipeline_state", "access exclusive", id="asking what is known"),
        pytest.param("extraction_runs__config", "share", id="merging"),
    ],
)
def test_a_load_that_waits_for_the_database_ends_when_it_is_told_to(
    cloud: Emulator, command: Command, server: PostgresServer, table: str, mode: str
) -> None:
    url = server.database()
    command.environment["DESTINATION__POSTGRES__CREDENTIALS"] = url
    assert command("-q", "--destination", "postgres") == (0, "", "")
    cloud.add_run()
    with closing(Locked(url, table, mode)) as locked:
        process = command.start("-q", "--destination", "postgres", "--full-scan")
        wait_until(locked.has_waiting, process)
        process.send_signal(signal.SIGTERM)
        assert outcome(process) == ENDED
    assert command("-q", "--destination", "postgres") == (0, "", "")
    assert_whole(PostgresWarehouse(cloud, url))


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_the_load(cloud: Emulator, command: Command, sent: signal.Signals) -> None:
    process = command.start("-q", NORMALIZE__WORKERS="2")
    proc, stopped = Path("/proc"), []
    ours = (proc / str(process.pid) / "cmdline").read_bytes

    def has_worker() -> bool:
        """Whether there is one, which from then on does nothing, so that the load cannot go on."""
        for child in (proc / f"{process.pid}/task/{process.pid}/children").read_text().split():
            with suppress(FileNotFoundError, ProcessLookupError):
                if (proc / child / "cmdline").read_bytes() == ours():  # it is forked, and no program of its own
                    os.kill(int(child), signal.SIGSTOP)
                    stopped.append(int(child))
                    return True
        return False

    wait_until(lambda: len(cloud.requests) > 4 and has_worker(), process)
    process.send_signal(sent)
    process.wait(timeout=300)
    with suppress(ProcessLookupError):
        os.kill(stopped[0], signal.SIGCONT)
    # A worker has the outputs of the load open, and would keep who reads them waiting.
    assert outcome(process) == (ENDED if sent == signal.SIGTERM else (-sent, "", ""))


@pytest.fixture
def by_way_of(command: Command) -> Callable[..., subprocess.Popen[str]]:
    """Starts the command by another program, which takes its place."""
    first, way = command.script, command.folder / "way.py"
    way.write_text("import os, sys; os.execvp(sys.argv[1], sys.argv[1:])")
    command.script = way

    def start(*program: str, arguments: list[str], **environment: str | None) -> subprocess.Popen[str]:
        return command.start(*program, sys.executable, str(first), *arguments, **environment)

    return start


def test_the_first_process_of_a_container_ends_when_it_is_told_to(
    cloud: Emulator, by_way_of: Callable[..., subprocess.Popen[str]]
) -> None:
    """The system lets such a process ignore SIGTERM unless it has asked to hear of it."""
    contained = ["unshare", "--pid", "--fork", "--kill-child"]
    if subprocess.run([*contained, "true"], capture_output=True).returncode:
        pytest.skip("this machine does not let us number processes anew")
    held = Held(cloud, 3)
    process = by_way_of(*contained, arguments=["-q"])
    assert held.reached.wait(timeout=300)
    (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    numbers = Path(f"/proc/{child}/status").read_text().split("NSpid:")[1].splitlines()[0]
    assert numbers.split()[-1] == "1"
    os.kill(int(child), signal.SIGTERM)
    ended = outcome(process)
    held.release.set()
    assert ended == ENDED


def test_a_load_that_waits_for_another_load_ends_when_it_is_told_to(cloud: Emulator, command: Command) -> None:
    held = Held(cloud, 3)
    first = command.start("-q")
    assert held.reached.wait(timeout=300)
    second = command.start("--wait-for-lock", "300")
    assert second.stderr is not None
    assert second.stderr.readline().startswith("waiting: another load into ")
    second.send_signal(signal.SIGTERM)
    assert outcome(second) == ENDED
    held.release.set()
    assert outcome(first) == (0, "", "")


# ── places to write to ────────────────────────────────────────────────────────────────────────────────────────────


def test_where_no_file_can_be_written_one_line_says_so(command: Command) -> None:
    script = 'ulimit -f 0; exec "$0" "$@"'  # every file that is written to fails as on a full disk
    given = ["sh", "-c", script, sys.executable, str(command.script)]
    environment = command.environment | {"PYTHONDONTWRITEBYTECODE": "1"}
    ended = subprocess.run(given, cwd=command.folder, env=environment, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
    assert "set TMPDIR to a folder that can be written to" in ended.stderr
    assert command.cloud.requests == []


class Job(NamedTuple):
    """What a file of deploy/ has the command do."""

    arguments: list[str]
    variables: dict[str, str | None]
    """None for a secret."""


def kubernetes_job() -> Job:
    container = pod()["containers"][0]
    return Job(container["args"], {one["name"]: one.get("value") for one in container["env"]})


def pod() -> dict[str, Any]:
    return manifest()["spec"]["jobTemplate"]["spec"]["template"]["spec"]


def manifest() -> Any:
    return yaml.safe_load((DEPLOY / "kubernetes/cronjob.yaml").read_text())


def systemd_job() -> Job:
    text = (DEPLOY / "systemd/llama-extract.service").read_text()
    (program,) = re.findall(r"^ExecStart=/opt/llama-extract/bin/llama-extract (.*)$", text, re.MULTILINE)
    variables: dict[str, str | None] = dict(re.findall(r"^Environment=(\w+)=(.*)$", text, re.MULTILINE))
    return Job(shlex.split(program), variables | dict.fromkeys(SECRETS))


DEPLOY = ROOT / "deploy"
SECRETS = ("LLAMA_CLOUD_API_KEY", "DESTINATION__POSTGRES__CREDENTIALS")
FOLDERS = {"/tmp/dlt": "dlt", "%C/llama-extract": "dlt"}


@pytest.mark.parametrize("job", [kubernetes_job(), systemd_job()], ids=["kubernetes", "systemd"])
def test_a_job_as_it_is_deployed_loads_by_its_environment_alone(
    cloud: Emulator,
    command: Command,
    by_way_of: Callable[..., subprocess.Popen[str]],
    server: PostgresServer,
    tmp_path: Path,
    job: Job,
) -> None:
    """The one thing that it may write to, besides the warehouse, is a folder for temporary files."""
    url, temporary = server.database(), tmp_path / "temporary"
    temporary.mkdir()
    secrets = dict(zip(SECRETS, (KEY, url), strict=True))
    given = {name: secrets[name] if value is None else value for name, value in job.variables.items()}
    assert given.keys() >= secrets.keys()
    given["DLT_DATA_DIR"] = str(temporary / FOLDERS[given.get("DLT_DATA_DIR") or image_variables()["DLT_DATA_DIR"]])
    given.pop("SOURCES__LLAMA_EXTRACT__REQUESTS_PER_MINUTE", None)  # it takes minutes
    working = tmp_path / "working"
    working.mkdir(mode=0o555)
    command.folder = working
    # root may write everywhere, unless it has no powers.
    powerless = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    process = by_way_of(*powerless, "env", "-u", "HOME", arguments=job.arguments, **given, TMPDIR=str(temporary))
    ended = outcome(process)
    assert (ended.code, ended.err) == (0, "")
    assert_whole(PostgresWarehouse(cloud, url))
    assert list(working.iterdir()) == []
    # And what it cannot write to is named.
    process = by_way_of(*powerless, arguments=["-q"], **given, TMPDIR=str(temporary))
    ended = outcome(process)
    assert (ended.code, ended.err.count("\n")) == (1, 1)
    assert str(working) in ended.err


# ── the files of deploy/ ──────────────────────────────────────────────────────────────────────────────────────────


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's, in order."""
    lines = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text()).splitlines()
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines) if name and name != "#"]


def image_variables() -> dict[str, str]:
    _, *stages = re.split(r"^FROM .*$", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    return dict(re.findall(r"^(?:ENV)? +(\w+)=(\S+)", stages[-1], re.MULTILINE))


def test_the_image_is_as_the_linter_wants_it() -> None:
    linted = subprocess.run([HADOLINT, str(ROOT / "Dockerfile")], capture_output=True, text=True)
    assert (linted.returncode, linted.stdout) == (0, "")


HADOLINT = str(Path(sys.executable).with_name("hadolint"))


def test_the_image_runs_the_command_itself_as_nobody_in_particular() -> None:
    given = instructions()
    assert [rest for name, rest in given if name == "ENTRYPOINT"] == ['["llama-extract"]']
    assert [rest for name, rest in given if name == "USER"] == ["65532:65532"]


def test_the_image_has_no_secret_and_only_what_is_copied_is_sent_to_be_built() -> None:
    copied = {
        source
        for name, rest in instructions()
        if name == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    }
    everything, *allowed = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] not in "#"]
    assert everything == "*"
    assert {line[1:] for line in allowed if line.startswith("!")} == copied
    assert not re.search(r"(?i)(key|password|secret|credentials)\w*=", (ROOT / "Dockerfile").read_text())


def test_the_image_installs_extras_that_there_are() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (extras,) = [rest.partition("=")[2].strip('"').split() for name, rest in instructions() if name == "ARG"]
    assert set(extras) <= project["optional-dependencies"].keys()


@pytest.mark.parametrize("version", ["1.29", "1.37"])
def test_the_cron_job_is_one_that_kubernetes_takes(version: str) -> None:
    kubernetes_validate.validate(manifest(), version, strict=True)


def test_the_cron_job_keeps_to_itself() -> None:
    """One load at a time, no secret in the file, and what Kubernetes calls the restricted standard."""
    assert manifest()["spec"]["concurrencyPolicy"] == "Forbid"
    (container,) = pod()["containers"]
    assert {one["name"] for one in container["env"] if "secretKeyRef" in one.get("valueFrom", {})} == set(SECRETS)
    assert pod()["automountServiceAccountToken"] is False
    assert pod()["securityContext"]["runAsNonRoot"] is True
    assert pod()["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert all(any(path.startswith(folder) for folder in mounted) for path in [image_variables()["DLT_DATA_DIR"]])


@pytest.mark.parametrize("job", [kubernetes_job(), systemd_job()], ids=["kubernetes", "systemd"])
def test_what_is_set_is_a_setting(job: Job) -> None:
    prefix = "SOURCES__LLAMA_EXTRACT__"
    assert {name[len(prefix) :].lower() for name in job.variables if name.startswith(prefix)} <= config.SETTINGS.keys()


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_the_units_are_such_that_systemd_takes(tmp_path: Path) -> None:
    units = sorted((DEPLOY / "systemd").iterdir())
    for unit in units:
        text = unit.read_text().replace("/opt/llama-extract/bin/llama-extract", "/bin/true")
        (tmp_path / unit.name).write_text(text)
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(str(tmp_path / unit.name) for unit in units)],
        capture_output=True,
        text=True,
    )
    assert (verified.returncode, verified.stderr) == (0, "")

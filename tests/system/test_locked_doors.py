"""Every door keeps the others out, whatever the destination, and lets them in when it has ended."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt.destinations.impl.ducklake.configuration import DuckLakeCredentials
from dlt.pipeline.exceptions import PipelineStepFailed

from llama_cloud_emulator import Emulator
from llama_extract_dlt import DatasetBusyError, Progress, llama_extract, sync
from support.command import Command, Held, outcome
from support.ducklake import install_extensions
from support.truth import assert_whole
from support.warehouse import Warehouse

PLAIN = """
import dlt
from llama_extract_dlt import llama_extract
pipeline = dlt.pipeline("plain", destination={destination!r}, dataset_name="llama_extract")
pipeline.run(llama_extract())
"""


@pytest.fixture
def cloud() -> Iterator[Emulator]:
    """A LlamaCloud with few runs, on several pages, of one agent."""
    with Emulator(runs=12, seed=3, corpus="invoices", page_limit=2) as emulator:
        yield emulator


@pytest.fixture
def other_cloud() -> Iterator[Emulator]:
    """Another one with the same, for loads that must not ask the one that is held."""
    with Emulator(runs=12, seed=3, corpus="invoices", page_limit=2) as emulator:
        yield emulator


class Place:
    """A destination, for the command and for a program."""

    def __init__(self, kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
        self.name = "filesystem" if kind in ("folder", "bucket") else kind.split("_in_")[0]
        prefix = f"DESTINATION__{self.name.upper()}__"
        if kind == "duckdb":
            file = str(tmp_path / "warehouse.duckdb")
            self.environment = {f"{prefix}CREDENTIALS": file}
            self.destination: Any = dlt.destinations.duckdb(file)
        elif kind == "postgres":
            url = request.getfixturevalue("server").database()
            self.environment = {f"{prefix}CREDENTIALS": url}
            self.destination = dlt.destinations.postgres(url)
        elif kind == "sqlalchemy":
            url = f"sqlite:///{tmp_path}/warehouse.db"
            self.environment = {f"{prefix}CREDENTIALS": url}
            self.destination = dlt.destinations.sqlalchemy(url)
        elif self.name == "ducklake":
            install_extensions()
            in_postgres, lake = kind.endswith("postgres"), str(tmp_path / "lake")
            catalog = request.getfixturevalue("server").database() if in_postgres else f"sqlite:///{tmp_path}/catalog"
            credentials = {"CATALOG": catalog, "STORAGE__BUCKET_URL": lake}
            self.environment = {f"{prefix}CREDENTIALS__{name}": value for name, value in credentials.items()}
            self.environment["HOME"] = str(Path.home())  # where DuckDB's extensions are
            self.destination = dlt.destinations.ducklake(DuckLakeCredentials(catalog=catalog, storage=lake))
        elif kind == "folder":
            self.environment = {f"{prefix}BUCKET_URL": str(tmp_path / "lake")}
            self.destination = dlt.destinations.filesystem(str(tmp_path / "lake"))
        else:
            bucket = request.getfixturevalue("storage").bucket()
            self.environment = bucket.environment()
            self.destination = bucket.destination()

    def pipeline(self, name: str = "program") -> dlt.Pipeline:
        return dlt.pipeline(name, destination=self.destination, dataset_name="llama_extract")


PLACES = ["duckdb", "postgres", "folder", "bucket"]


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place(request.param, tmp_path, request)


@pytest.fixture
def machine(cloud: Emulator, tmp_path: Path, place: Place) -> Command:
    """Another machine: it has a folder of its own, and reaches the destination."""
    (tmp_path / "machine").mkdir()
    command = Command(cloud, tmp_path / "machine")
    command.environment |= place.environment
    return command


@contextmanager
def at_work(start: Callable[[], subprocess.Popen[str]], cloud: Emulator) -> Iterator[subprocess.Popen[str]]:
    """A process that loads: the service does not answer it as long as this lasts."""
    with Held(cloud, 4).back(start) as process:
        yield process


def account(cloud: Emulator) -> dict[str, Any]:
    return {"api_key": cloud.api_key, "base_url": cloud.base_url}


@pytest.mark.parametrize("place", [*PLACES, "ducklake_in_sqlite", "ducklake_in_postgres", "sqlalchemy"], indirect=True)
def test_the_command_keeps_out_programs(machine: Command, place: Place, cloud: Emulator, other_cloud: Emulator) -> None:
    with at_work(lambda: machine.start("-q", "--destination", place.name), cloud) as command:
        with pytest.raises(DatasetBusyError, match=rf"process {command.pid} on .* since .* UTC") as failure:
            sync(place.pipeline(), **account(other_cloud))
        assert failure.value.holder.startswith(f"process {command.pid} on ")
        with pytest.raises(PipelineStepFailed) as failed:
            place.pipeline("plain").run(llama_extract(**account(other_cloud)))
        assert isinstance(failed.value.__cause__.__cause__, DatasetBusyError)  # type: ignore[union-attr]
        assert other_cloud.requests == []
    assert outcome(command).code == 0
    assert sync(place.pipeline(), **account(cloud)).new == 0 or place.name == "filesystem"


def test_a_plain_run_keeps_out_the_command(
    machine: Command, place: Place, cloud: Emulator, other_cloud: Emulator, tmp_path: Path
) -> None:
    (tmp_path / "program").mkdir()
    program = Command(cloud, tmp_path / "program")
    program.script = tmp_path / "program" / "plain.py"
    program.script.write_text(PLAIN.format(destination=place.name))
    program.environment |= place.environment
    machine.environment["LLAMA_CLOUD_BASE_URL"] = other_cloud.base_url
    with at_work(program.start, cloud) as process:
        code, _, err = machine("--destination", place.name)
        assert code == 1
        assert f"another load into the dataset llama_extract is at work (process {process.pid} on " in err
        assert err.count("\n") == 1
    assert outcome(process).code == 0
    assert machine("-q", "--destination", place.name).code == 0


def test_a_load_that_waits_follows_and_finds_nothing_new(
    machine: Command, place: Place, cloud: Emulator, other_cloud: Emulator, tmp_path: Path
) -> None:
    (tmp_path / "second").mkdir()
    second = Command(other_cloud, tmp_path / "second")
    second.environment |= place.environment
    with at_work(lambda: machine.start("-q", "--destination", place.name), cloud) as first:
        waiting = second.start("--json", "--destination", place.name, "--wait-for-lock", "60")
        assert waiting.stderr is not None
        said = waiting.stderr.readline()
        assert said.startswith(f"waiting: another load into the dataset llama_extract is at work (process {first.pid} ")
        assert other_cloud.requests == []
    assert outcome(first).code == 0
    code, out, _ = outcome(waiting)
    assert code == 0
    assert '"new": 0' in out


@pytest.mark.parametrize("place", ["duckdb"], indirect=True)
def test_progress_tells_of_the_wait_and_may_end_it(
    machine: Command, place: Place, cloud: Emulator, other_cloud: Emulator
) -> None:
    told: list[Progress] = []

    def impatient(progress: Progress) -> None:
        told.append(progress)
        if len(told) == 2:
            raise TimeoutError

    with at_work(lambda: machine.start("-q"), cloud) as first:
        with pytest.raises(TimeoutError):
            sync(place.pipeline(), on_progress=impatient, wait_for_lock=600, **account(other_cloud))
        assert {progress.step for progress in told} == {"waiting"}
        assert f"process {first.pid} on " in told[0].waiting
    assert outcome(first) == (0, "", "")


# ── how long a plain run keeps others out ─────────────────────────────────────────────────────────────────────────


@pytest.fixture
def house(cloud: Emulator, tmp_path: Path) -> Iterator[Warehouse]:
    warehouse = Warehouse(cloud, tmp_path / "warehouse.duckdb")
    yield warehouse
    warehouse.close()


def other(house: Warehouse) -> dlt.Pipeline:
    destination = dlt.destinations.duckdb(str(house.path))
    return dlt.pipeline("other", destination=destination, dataset_name="llama_extract")


def is_free(house: Warehouse) -> bool:
    """Whether another process could load now."""
    line = "import sys; from pathlib import Path; from llama_extract_dlt.load.locks.files import FileLock; "
    line += "sys.exit(FileLock(Path(sys.argv[1])).take() is not None)"
    lock = house.path.with_name(f".{house.path.name}.lock")
    return subprocess.run([sys.executable, "-c", line, str(lock)], check=False).returncode == 0


def test_a_plain_run_lets_others_in_when_it_has_ended(house: Warehouse) -> None:
    house.pipeline.run(llama_extract(**account(house.cloud)))
    assert is_free(house)
    house.pipeline.run(llama_extract(**account(house.cloud)))
    assert is_free(house)
    assert_whole(house)


def test_a_plain_run_that_fails_lets_others_in(house: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PipelineStepFailed):
        house.pipeline.run(llama_extract(api_key="wrong", base_url=house.cloud.base_url))
    assert is_free(house)
    monkeypatch.setenv("LOAD__WORKERS", "0")
    with pytest.raises(PipelineStepFailed):
        house.pipeline.run(llama_extract(**account(house.cloud)))
    assert is_free(house)


def test_steps_one_by_one_keep_others_out_while_each_is_at_work(house: Warehouse) -> None:
    pipeline, free = house.pipeline, dict[str, bool]()
    source = llama_extract(**account(house.cloud))
    source.extraction_runs.add_map(lambda table: free.setdefault("extract", is_free(house)) or table)
    pipeline.extract(source, loader_file_format="parquet")
    assert is_free(house)
    pipeline.normalize()

    lock = house.path.with_name(f".{house.path.name}.lock")
    program = f"""
import sys
from pathlib import Path
from llama_extract_dlt.load.locks.files import FileLock
lock = FileLock(Path({str(lock)!r}))
assert lock.take() is None
print("taken", flush=True)
sys.stdin.read()
"""
    line = [sys.executable, "-c", program]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as somebody:
        assert somebody.stdout is not None
        assert somebody.stdout.readline() == "taken\n"
        with pytest.raises(PipelineStepFailed, match=f"process {somebody.pid} on "):
            pipeline.load()
        somebody.communicate("")
    pipeline.load()
    assert free == {"extract": False}
    assert is_free(house)
    assert_whole(house)


def test_two_sources_in_one_run_are_refused_before_a_row_is_there_twice(house: Warehouse) -> None:
    one, two = llama_extract(**account(house.cloud)), llama_extract(**account(house.cloud), full_scan=True)
    with pytest.raises(PipelineStepFailed, match="run one after the other"):
        house.pipeline.run([one, two])
    assert is_free(house)
    house.pipeline.run(llama_extract(**account(house.cloud)))
    assert_whole(house)


def test_two_packages_of_one_pipeline_may_wait_together(house: Warehouse) -> None:
    house.pipeline.extract(llama_extract(**account(house.cloud)), loader_file_format="parquet")
    house.pipeline.extract(llama_extract(**account(house.cloud), full_scan=True), loader_file_format="parquet")
    house.pipeline.normalize()
    house.pipeline.load()
    assert_whole(house)

"""Kills of the command at a moment of its load."""

import math
import random
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from support.command import Command, Held, outcome

WORK = "dlt/pipelines/llama_extract"  # dlt's working folder


# Where a load can be killed: what happens there one time after the other, and how many times a package of it.
PLACES: dict[str, tuple[Iterable[str], int]] = {
    "before it answers a request": ((), 8),
    "having read into files": ([f"{WORK}/normalize/*/*/new_jobs/*"], 8),
    "having prepared files": ([f"{WORK}/load/new/*/new_jobs/*"], 8),
    "having begun to load": ([f"{WORK}/load/normalized/*/{state}_jobs/*" for state in ("started", "completed")], 18),
    "having loaded": ([f"{WORK}/load/normalized/*/completed_jobs/*"], 18),
    "having written to the database": (["llamacloud.duckdb*"], 50),
}


class Moment(NamedTuple):
    """When to kill a load: at what it does for the `count`-th time."""

    place: str
    count: int


def moments(number: int, seed: int, packages: float) -> list[Moment]:
    """Random moments within so many packages, as many at every place."""
    dice = random.Random(seed)
    places = [place for _ in range(math.ceil(number / len(PLACES))) for place in PLACES]
    dice.shuffle(places)
    return [Moment(place, dice.randint(1, round(PLACES[place][1] * packages))) for place in places[:number]]


def kill(command: Command, moment: Moment, *arguments: str) -> None:
    """Starts the command and kills it at the moment."""
    patterns, _ = PLACES[moment.place]
    held = Held(command.cloud, 0 if patterns else moment.count)
    due = times(command.folder, patterns, moment.count) if patterns else held.reached.is_set
    process = command.start("-q", *arguments)
    try:
        while process.poll() is None and not due():
            time.sleep(0.005)  # is not what is waited for: it leaves the processor to the load
        process.kill()
    finally:
        held.release.set()
    ended = outcome(process)
    assert ended == (-signal.SIGKILL, "", ""), f"not killed {moment}"


def times(folder: Path, patterns: Iterable[str], count: int) -> Callable[[], bool]:
    """Tells whether files have appeared `count` times from now on; a database that has another size is another."""

    def look() -> set[tuple[str, int]]:
        found = set()
        for pattern in patterns:
            with suppress(FileNotFoundError):  # the folder is just being moved
                for path in folder.glob(pattern):
                    found.add((path.name, path.stat().st_size if path.parent == folder else 0))
        return found

    before, seen = look(), set[tuple[str, int]]()

    def due() -> bool:
        seen.update(look() - before)
        return len(seen) >= count

    return due

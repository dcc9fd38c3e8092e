"""Records of files are a bonus: whatever the look-up does, runs load."""

import uuid

from llama_cloud_emulator import Emulator
from support.agents import FILES, Agent, Json
from support.truth import assert_nothing_doubled
from support.warehouse import Warehouse


def with_files(agent: Agent, count: int) -> dict[str, str]:
    """New runs that only name their file: run by file."""
    files = [str(uuid.UUID(int=agent.hours * 1000 + number + 1, version=4)) for number in range(count)]
    return {agent.add(file_id=file_id, file=None)[0]: file_id for file_id in files}


def files_of(house: Warehouse) -> dict[str, str]:
    house.forget()
    return {row["_run_id"]: row["id"] for row in house.rows("extraction_runs__file")}


def test_a_look_up_of_files_that_fails_stops_nothing_and_a_full_scan_asks_again(
    cloud: Emulator, letters: Agent, house: Warehouse
) -> None:
    named: dict[str, str] = {}
    for fault in ({"status": 403}, {"status": 500}, {"kind": "html", "status": 422}, {"kind": "not_json"}):
        named |= with_files(letters, 2)
        cloud.fail(times=None, path=FILES, **fault)
        assert house.load(max_tries=1, max_wait=0)["runs"]["new"] == 2
        assert files_of(house) == {}
        cloud.heal()
    house.load(full_scan=True)
    assert files_of(house) == named
    assert house.load(full_scan=True)["runs"]["unchanged"] == len(named)
    assert_nothing_doubled(house)


def test_a_record_that_was_missing_once_comes_with_the_next_full_scan(
    cloud: Emulator, letters: Agent, house: Warehouse
) -> None:
    named = with_files(letters, 3)
    absent = list(named.values())[1]

    def on_answer(path: str, query: Json, document: Json) -> Json:
        if path != FILES:
            return None
        return document | {"items": [record for record in document["items"] if record["id"] != absent]}

    cloud.on_answer = on_answer
    house.load()
    assert set(files_of(house).values()) == set(named.values()) - {absent}
    cloud.on_answer = None
    house.load(full_scan=True)
    assert files_of(house) == named


def test_a_file_whose_record_is_gone_stays_with_the_run_that_had_it(
    cloud: Emulator, letters: Agent, house: Warehouse
) -> None:
    named = with_files(letters, 3)
    house.load()
    gone = next(iter(named))
    cloud.delete_file(named[gone])
    letters.edit(list(named)[2])
    house.load(full_scan=True)
    assert_nothing_doubled(house)
    kept = files_of(house)
    assert {run_id: kept[run_id] for run_id in list(named)[1:]} == {run_id: named[run_id] for run_id in list(named)[1:]}

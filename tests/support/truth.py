"""What has to be true of a warehouse."""

from collections import Counter
from typing import Any

from support.warehouse import DATA, Warehouse, differences, expected_run, loaded_runs, reassembled_data


def deleted(house: Warehouse) -> set[str]:
    """The runs that are flagged as deleted."""
    return {row["id"] for row in house.rows("extraction_runs") if row.get("_deleted_at") is not None}


def assert_nothing_doubled(house: Warehouse) -> None:
    """No row is there twice, and no child without its run."""
    house.forget()
    ids = [row["id"] for row in house.rows("extraction_runs")]
    assert [key for key, count in Counter(ids).items() if count > 1] == []
    for table, key in (("extraction_agents", "id"), ("extraction_schemas", "hash")):
        keys = [row[key] for row in house.rows(table)]
        assert len(set(keys)) == len(keys), f"{table} has rows twice"
    for table in house.tables():
        rows = house.rows(table)
        keys = [row["_dlt_id"] for row in rows if "_dlt_id" in row]
        assert len(set(keys)) == len(keys), f"{table} has rows twice"
        assert {row["_run_id"] for row in rows if "_run_id" in row} <= set(ids), f"{table} has rows without a run"


def assert_nothing_flagged(house: Warehouse) -> None:
    """Nothing that lives is flagged as deleted, or gone from the warehouse though it was loaded."""
    house.forget()
    _nothing_flagged(house)


def _nothing_flagged(house: Warehouse) -> None:
    assert deleted(house) & {one["id"] for one in house.cloud.runs()} == set()


def assert_true(house: Warehouse, roots: dict[str, str] | None = None) -> None:
    """All that the service has is in the warehouse by every value, once; what it has no more is flagged.

    `roots` has the data table of each agent, with `data_tables = "per_agent"`.
    """
    assert_nothing_doubled(house)  # which reads the tables, for all that follows
    _nothing_flagged(house)
    truth = {one["id"]: one for one in house.cloud.runs()}
    loaded = loaded_runs(house)
    assert truth.keys() - loaded.keys() == set(), "runs are missing"
    assert loaded.keys() - truth.keys() == deleted(house)
    if roots:
        assert house.rows(DATA) == []
        for agent_id, root in roots.items():
            for run_id, data in reassembled_data(house, root).items():
                assert truth[run_id]["extraction_agent_id"] == agent_id, f"{run_id} is in {root}"
                loaded[run_id]["data"] = data
    wrong = [line for key, one in truth.items() for line in differences(expected_run(one), loaded[key], key)]
    assert wrong == [], "\n".join(wrong[:5])
    assert_names(house)


def assert_names(house: Warehouse) -> None:
    """Each run has the name of its agent, as it is now, and if it is still there that of its file."""
    agents = {agent["id"]: agent["name"] for agent in house.cloud.agents()}
    files = {row["_run_id"]: row["name"] for row in house.rows("extraction_runs__file")}
    for row in house.rows("extraction_runs"):
        assert row["file_name"] == files.get(row["id"]) or row["_deleted_at"] is not None
        assert row["extraction_agent_id"] not in agents or row["agent_name"] == agents[row["extraction_agent_id"]]


def honest(house: Warehouse, roots: dict[str, str] | None = None, **arguments: Any) -> None:
    """The service is honest again; one full scan, and all is true."""
    house.cloud.on_answer = None
    house.cloud.heal()
    counts = house.load(full_scan=True, **arguments)
    assert counts["unreadable"] == {}
    assert_true(house, roots)


def assert_whole(house: Warehouse) -> None:
    """The warehouse has all runs as the service has them, each row once."""
    loaded, truth = loaded_runs(house), {run["id"]: run for run in house.cloud.runs()}
    assert loaded.keys() == truth.keys()
    wrong = [line for run_id, run in truth.items() for line in differences(expected_run(run), loaded[run_id], run_id)]
    assert wrong == [], "\n".join(wrong[:5])
    for table in house.tables():
        ids = [row["_dlt_id"] for row in house.rows(table) if "_dlt_id" in row]
        assert len(set(ids)) == len(ids), f"{table} has rows twice"

"""What tables, columns and types a warehouse has, agents with schemas, and warehouses beside it."""

from typing import Any

from llama_cloud_emulator import Emulator
from support.agents import Agent, Json
from support.warehouse import KEYS, METADATA, Warehouse, same

TEXT, TIME, STAMP, DATE = "VARCHAR", "TIME", "TIMESTAMP WITH TIME ZONE", "DATE"
BIGINT, DOUBLE, BOOL = "BIGINT", "DOUBLE", "BOOLEAN"

string, integer, number, boolean = ({"type": kind} for kind in ("string", "integer", "number", "boolean"))
date, moment, time = ({"type": "string", "format": kind} for kind in ("date", "date-time", "time"))


def thing(**properties: Json) -> Json:
    """A data schema of an object."""
    return {"type": "object", "properties": properties}


def listed(items: Json) -> Json:
    return {"type": "array", "items": items}


class Typed(Agent):
    """An agent with a data schema, which its runs carry."""

    def __init__(self, cloud: Emulator, name: str, schema: Json, **fields: Any) -> None:
        super().__init__(cloud, name, **fields)
        self.change(schema)

    def load(self, *data: Json, **fields: Any) -> list[str]:
        """New runs with these data; their ids."""
        return [self.add(data=one, **({"data_schema": self.schema} | fields))[0] for one in data]

    def change(self, schema: Json) -> None:
        """The agent has another schema from now on."""
        self.schema = schema
        self.patch(data_schema=schema)

    def patch(self, **fields: Json) -> None:
        with self.cloud.lock:
            agent = self.cloud.agent(self.id)
            assert agent
            agent.fields |= {"updated_at": self.tick()} | fields


def columns(house: Warehouse) -> dict[str, dict[str, str]]:
    """The type of every column, by table."""
    found: dict[str, dict[str, str]] = {}
    query = "select table_name, column_name, data_type from information_schema.columns"
    for table, column, kind in house.sql(f"{query} where table_schema = 'llama_extract'"):
        if not table.startswith("_dlt"):
            found.setdefault(table, {})[column] = kind
    return found


def declared(house: Warehouse, table: str) -> dict[str, str]:
    """The same of a data table, the key columns left out."""
    return {name: kind for name, kind in columns(house)[table].items() if name not in KEYS}


def everything(house: Warehouse) -> tuple[Any, Any]:
    """Tables, columns and types, and all rows but which load they are from.

    A list that no schema declares has `_deleted` only once a load has taken rows of a run away: it is left out.
    """
    house.forget()
    found = {
        table: {name: kind for name, kind in kinds.items() if name != "_deleted"}
        for table, kinds in columns(house).items()
    }
    return found, house.content()


def beside(house: Warehouse, name: str) -> Warehouse:
    """A new and empty warehouse for the same LlamaCloud; the one before is left."""
    house.pipeline.drop()
    house.close()
    return Warehouse(house.cloud, house.path.with_name(f"{name}.duckdb"))


def assert_same(before: tuple[Any, Any], after: tuple[Any, Any]) -> None:
    """Two moments of `everything` are the same; else only what differs is shown."""
    for one, other in zip(before, after, strict=True):
        differing = [table for table in one | other if one.get(table) != other.get(table)]
        assert not differing, {table: (one.get(table), other.get(table)) for table in differing}


def _below(value: Json, step: str) -> Json:
    if isinstance(value, list):
        return value[int(step)] if step.isdecimal() and int(step) < len(value) else None
    return value.get(step) if isinstance(value, dict) else None


def assert_led_to_values(house: Warehouse, documents: dict[str, Json]) -> int:
    """Every field of the metadata leads to its value, which is that of the run's data; how many have one."""
    house.forget()
    found, wrong = 0, []
    for row in house.rows(METADATA):
        value = documents[row["_run_id"]]
        for step in row["field_path"].split("."):
            value = _below(value, step)
        if value is None or isinstance(value, dict | list):
            if row["data_value"] is not None:
                wrong.append((row["field_path"], row["data_value"]))
            continue
        found += 1
        (there,) = (one for one in house.rows(row["data_table"]) if one["_dlt_id"] == row["data_row_id"])
        column = row["data_column"]
        in_row = [there[name] for name in there if name == column or name.startswith(f"{column}__v_")]
        kept = [one for one in in_row if one is not None]
        if column not in there or len(kept) != 1 or not same(value, kept[0]):
            wrong.append((row["field_path"], value, row["data_table"], column, kept))
    assert wrong == [], wrong
    return found

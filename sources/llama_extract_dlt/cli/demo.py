"""The demo: a load from a local LlamaCloud, a look at what it gave, and what to do next."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import dlt
from dlt.destinations.exceptions import DatabaseException

from ..errors import ConfigurationError
from ..load.dlt_inside import duckdb_file
from .console import say, show_table

RUNS = 300
QUERIES = {
    "Runs by agent and status": """
        select agent_name as agent, status, count(*) as runs,
               cast(max(updated_at) at time zone 'UTC' as date) as latest
        from extraction_runs where _deleted_at is null
        group by agent_name, status order by runs desc, agent limit 8""",
    "Line items of the largest invoices": """
        select d.vendor__name as vendor, d.invoice_date, i.description, i.quantity, i.amount
        from extraction_runs__data d join extraction_runs__data__line_items i on i._dlt_parent_id = d._dlt_id
        where i.amount is not null order by d.total desc nulls last, i._dlt_list_idx limit 6""",
    "What a person should look at": """
        select r.file_name as file, m.field_path as field, m.data_value as value, m.confidence, c.page,
               c.matching_text as citation
        from extraction_runs__field_metadata m
        join extraction_runs r on r.id = m._run_id
        left join extraction_runs__field_metadata__citation c on c._dlt_parent_id = m._dlt_id and c._dlt_list_idx = 0
        where r._deleted_at is null and m.data_value is not null and m.confidence is not null
        order by m.confidence, m._dlt_id limit 20""",
}


@contextmanager
def service() -> Iterator[dict[str, Any]]:
    """A local LlamaCloud with made-up runs; gives the source's arguments for it, whatever is configured."""
    try:
        from llama_cloud_emulator import Emulator
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"the demo needs the module {error.name}: pip install 'dlt-source-llama-extract[demo]'"
        ) from None
    with Emulator(runs=RUNS, seed=1) as cloud:
        yield {
            "api_key": cloud.api_key,
            "base_url": cloud.base_url,
            "project_id": cloud.project_id,
            "organization_id": cloud.organization_id,
        }


def show(pipeline: dlt.Pipeline) -> None:
    """Prints what a few queries on the loaded tables give, and what to type next."""
    with pipeline.sql_client() as client:
        for title, query in QUERIES.items():
            # One agent's runs alone have not every table.
            with suppress(DatabaseException), client.execute_query(query) as cursor:
                say("", title)
                show_table([column[0] for column in cursor.description], cursor.fetchall())
    say("", "These runs are made up, by a local stand-in for LlamaCloud. Next:", "")
    python = python_command()
    if (database := duckdb_file(pipeline)) is not None:
        file = os.path.relpath(database)
        look = f"import duckdb; duckdb.connect({file!r}).sql('from {pipeline.dataset_name}.extraction_runs').show()"
        quoted = re.sub(r'([\\"$`])', r"\\\1", look)
        say("  look around:", f'    {shlex.join(python)} -c "{quoted}"')
    options = [option for option in sys.argv[1:] if option != "--demo"]
    say("  your own runs:", "    export LLAMA_CLOUD_API_KEY=llx-...", f"    {shlex.join([*command(python), *options])}")


def command(python: list[str]) -> list[str]:
    """What starts the command, as it was started."""
    started = Path(sys.argv[0])
    if started.name == "__main__.py":
        return [*python, "-m", "llama_extract_dlt"]
    if started.suffix == ".py":
        return [*python, os.path.relpath(started)]
    return [started.name if shutil.which(started.name) == str(started) else os.path.relpath(started)]


def python_command() -> list[str]:
    """The interpreter that runs this, as briefly as it can be named."""
    if shutil.which("python") == sys.executable:
        return ["python"]
    return [min(sys.executable, os.path.relpath(sys.executable), key=len)]

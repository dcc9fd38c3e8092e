"""LlamaCloud extraction runs as typed, joinable tables: a dlt source, and `sync`, which loads all that it has.

import dlt
from llama_extract_dlt import sync

pipeline = dlt.pipeline("extractions", destination="duckdb", dataset_name="llama_extract")
report = sync(pipeline, agents=["Invoices"])
print(report.new, report.complete)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import ConfigurationError as ConfigurationError
    from .errors import DatasetBusyError as DatasetBusyError
    from .errors import LlamaExtractError as LlamaExtractError
    from .load.destinations.lakes import open_lake as open_lake
    from .load.report import AgentReport as AgentReport
    from .load.report import Progress as Progress
    from .load.report import Report as Report
    from .session import plan_sync as plan_sync
    from .session import sync as sync
    from .source import llama_extract as llama_extract
    from .tracking.dry_run import AgentPlan as AgentPlan

_MODULES = {
    "AgentPlan": ".tracking.dry_run",
    "AgentReport": ".load.report",
    "ConfigurationError": ".errors",
    "DatasetBusyError": ".errors",
    "LlamaExtractError": ".errors",
    "Progress": ".load.report",
    "Report": ".load.report",
    "llama_extract": ".source",
    "open_lake": ".load.destinations.lakes",
    "plan_sync": ".session",
    "sync": ".session",
}
__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    """Imports a public name when it is asked for: dlt and Arrow take seconds, which `--help` must not."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_MODULES[name], __name__), name)
    return value

"""The asset checks: whether a load was whole, and what the warehouse says of itself after it."""

import warnings
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from ..load.report import Report
from ..load.warehouse.health import Health
from ..tables.contract import REJECTED

DAY, WEEK = timedelta(days=1), timedelta(days=7)

CHECKS = {
    "nothing_missing": "All agents and runs that were asked for could be read.",
    "no_rejects": f"Nothing is set aside in {REJECTED}. Delete its rows when you have seen to them.",
    "fresh": "The latest change of a run is not too long ago.",
    "in_flight": "No run has been in flight for too long.",
}
OF_THE_DATASET = "no_rejects"
"""What was set aside is of no agent, and so of no partition."""


def check_specs(asset: dg.AssetKey, partitions_def: dg.PartitionsDefinition[str] | None) -> Sequence[dg.AssetCheckSpec]:
    """Returns the checks of the runs, partition by partition: a good one must not hide a bad one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return [
            dg.AssetCheckSpec(
                name,
                asset=asset,
                description=description,
                partitions_def=None if name == OF_THE_DATASET else partitions_def,
            )
            for name, description in CHECKS.items()
        ]


def check_results(
    report: Report, health: Health, fresh_within: timedelta, in_flight_within: timedelta
) -> list[dg.AssetCheckResult]:
    """Returns what the checks say after a load.

    What is missing is asked for, and missed, by every load; the rest is the warehouse's state, whatever was read now.
    """
    now = datetime.now(UTC)
    newest, oldest = health.newest_change, health.oldest_in_flight
    lost = [*(f"{wanted}: not found" for wanted in report.missing), *report.unreadable.values()]
    return [
        _result(
            "nothing_missing", not lost, "; ".join(lost), missing=list(report.missing), unreadable=report.unreadable
        ),
        _result(
            "no_rejects",
            not health.rejected,
            f"{health.rejected} items are no runs: see reason and raw in {REJECTED}",
            rejected=health.rejected,
            rejected_by_this_load=report.rejected,
        ),
        _result(
            "fresh",
            newest is not None and now - newest <= fresh_within,
            f"no run has changed for {_days(fresh_within)}",
            severity=dg.AssetCheckSeverity.WARN,
            newest_change=newest,
        ),
        _result(
            "in_flight",
            oldest is None or now - oldest <= in_flight_within,
            f"a run has been in flight for more than {_days(in_flight_within)}",
            severity=dg.AssetCheckSeverity.WARN,
            in_flight=health.in_flight,
            oldest=oldest,
        ),
    ]


def _result(
    name: str,
    passed: bool,
    otherwise: str,
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR,
    **metadata: Any,
) -> dg.AssetCheckResult:
    shown = {
        key: dg.MetadataValue.timestamp(value) if isinstance(value, datetime) else value
        for key, value in metadata.items()
        if value is not None
    }
    description = "" if passed else otherwise
    return dg.AssetCheckResult(
        check_name=name, passed=passed, severity=severity, description=description or None, metadata=shown
    )


def _days(span: timedelta) -> str:
    """A span of time for people."""
    return f"{span / DAY:g} days" if span > DAY else f"{span / timedelta(hours=1):g} hours"

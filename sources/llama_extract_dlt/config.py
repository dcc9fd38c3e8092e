"""The settings of the source: what each may be, and where it is looked up.

An argument goes before dlt's configuration, and that before the default. The configuration is asked for a setting under
this source's own name only. dlt by itself also takes shorter names, down to the bare one: an `UNTIL`, `TIMEOUT` or
`API_KEY` that another program needs would choose what is loaded, or which key is sent.
"""

from __future__ import annotations

import ast
import difflib
import json
import math
import os
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime
from numbers import Real
from typing import Any, NamedTuple

import dlt
from dlt.common.utils import str2bool

from . import settings
from .errors import ConfigurationError

SECTION = "sources.llama_extract"
PREFIX = "SOURCES__LLAMA_EXTRACT__"
"""Where the settings are in dlt's files, and how their names begin in the environment."""

DEFAULT: Any = object()
"""Given as an argument: the default, whatever is configured."""


def checked_ids(ids: Iterable[str], what: str) -> list[str]:
    """IDs in the API's spelling, each once. Raises ConfigurationError that names the first that is no UUID."""
    checked: dict[str, None] = {}
    for text in ids:
        try:
            checked[str(uuid.UUID(text.strip()))] = None
        except (ValueError, AttributeError):
            message = f"{text!r} is not a {what}: IDs look like 3fa85f64-5717-4562-b3fc-2c963f66afa6"
            raise ConfigurationError(message) from None
    return list(checked)


def checked_time(given: object, what: str) -> datetime | None:
    """An instant, in UTC if it does not say where; None if nothing is given. Raises ConfigurationError."""
    if given is None or given == "":
        return None
    try:
        moment = given if isinstance(given, datetime) else datetime.fromisoformat(str(given).strip())
    except ValueError:
        message = f"{what} is {given!r}, which is no time: write 2026-01-31 or 2026-01-31T08:00:00Z"
        raise ConfigurationError(message) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


# ── what a value must be: each takes it as it was given or configured, and raises ValueError if it is not that ────


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError
    return value.strip()


def _texts(value: object) -> list[str]:
    """One text is as good as a list of one."""
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, Iterable) or isinstance(values, bytes | Mapping):
        raise ValueError
    texts = list(values)
    for text in texts:
        _text(text)
    return texts


def _ids(what: str) -> Callable[[object], list[str]]:
    return lambda value: checked_ids(_texts(value), what)


def _time(name: str) -> Callable[[object], datetime]:
    def read(value: object) -> datetime:
        moment = checked_time(value if isinstance(value, date) else _text(value), name)
        assert moment is not None
        return moment.astimezone(UTC)

    return read


def _flag(value: object) -> bool:
    return value if isinstance(value, bool) else str2bool(_text(value))


def _one_of(*words: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if not isinstance(value, str) or value not in words:
            raise ValueError
        return value

    return read


def _number(value: object) -> float:
    # For Python, true and false are numbers, and so are infinity and what is none.
    if isinstance(value, bool) or not isinstance(value, str | Real) or not math.isfinite(number := float(value)):
        raise ValueError
    return number


def _above_0(value: object) -> float:
    if (number := _number(value)) <= 0:
        raise ValueError
    return number


def _patience(value: object) -> float:
    if (number := _above_0(value)) > 1e6:  # of more, sockets may know nothing
        raise ValueError
    return number


def _seconds(value: object) -> float:
    if (number := _number(value)) < 0:
        raise ValueError
    return number


def _days(value: object) -> float:
    if not 0 <= (number := _number(value)) <= 1e6:
        raise ValueError
    return number


def _at_least_1(value: object) -> int:
    number = _number(value)
    if number < 1 or not number.is_integer():
        raise ValueError
    return int(number)


# ── the settings ──────────────────────────────────────────────────────────────────────────────────────────────────


class Setting(NamedTuple):
    """A setting: its default, what makes a value of what was given, and the rule that this goes by, as a sentence."""

    default: Any
    read: Callable[[object], Any]
    rule: str


_SIZES = "chunk_size and page_size must be at least 1, in whole numbers"
_LIMITS = "max_concurrency, max_tries and max_answer_bytes must be at least 1, in whole numbers"

SETTINGS: dict[str, Setting] = {
    "agents": Setting(None, _texts, "agents must be a list of ids or names, none of them blank"),
    "run_ids": Setting(None, _ids("run ID (run_ids)"), "run_ids must be a list of UUIDs"),
    "job_ids": Setting(None, _ids("job ID (job_ids)"), "job_ids must be a list of UUIDs"),
    "since": Setting(None, _time("since"), "since must be a time, such as 2026-01-31 or 2026-01-31T08:00:00Z"),
    "until": Setting(None, _time("until"), "until must be a time, such as 2026-01-31 or 2026-01-31T08:00:00Z"),
    "full_scan": Setting(False, _flag, "full_scan must be true or false"),
    "rewrite": Setting(False, _flag, "rewrite must be true or false"),
    "full_scan_every": Setting(
        settings.FULL_SCAN_EVERY, _days, "full_scan_every must be 0 (never) or more days, up to a million"
    ),
    "deleted_runs": Setting(
        "flag", _one_of("flag", "remove", "ignore"), "deleted_runs must be 'flag', 'remove' or 'ignore'"
    ),
    "api_key": Setting(None, _text, "api_key must be a text that is not blank"),
    "base_url": Setting(settings.BASE_URL, _text, f"base_url must be an address such as {settings.BASE_URL}"),
    "project_id": Setting(None, _text, "project_id must be a text that is not blank"),
    "organization_id": Setting(None, _text, "organization_id must be a text that is not blank"),
    "requests_per_minute": Setting(None, _above_0, "requests_per_minute must be above 0, a number"),
    "max_concurrency": Setting(settings.MAX_CONCURRENCY, _at_least_1, _LIMITS),
    "timeout": Setting(settings.TIMEOUT, _patience, "timeout must be a number of seconds above 0, up to a million"),
    "max_tries": Setting(settings.MAX_TRIES, _at_least_1, _LIMITS),
    "max_wait": Setting(settings.MAX_WAIT, _seconds, "max_wait must be 0 or more seconds"),
    "max_answer_bytes": Setting(settings.MAX_ANSWER_BYTES, _at_least_1, _LIMITS),
    "page_size": Setting(settings.PAGE_SIZE, _at_least_1, _SIZES),
    "chunk_size": Setting(None, _at_least_1, _SIZES),
    "lookup_files": Setting(True, _flag, "lookup_files must be true or false"),
    "wait_for_lock": Setting(0.0, _seconds, "wait_for_lock must be 0 or more seconds"),
    "parallel": Setting(False, _flag, "parallel must be true or false"),
    "table_format": Setting(None, _one_of("delta"), "table_format must be 'delta', or left out"),
    "data_tables": Setting("shared", _one_of("shared", "per_agent"), "data_tables must be 'shared' or 'per_agent'"),
}

_LISTS = ("agents", "run_ids", "job_ids")
_FALL_BACKS = {"api_key": "LLAMA_CLOUD_API_KEY", "base_url": "LLAMA_CLOUD_BASE_URL"}
"""The vendor's own variables."""


# ── looking them up ───────────────────────────────────────────────────────────────────────────────────────────────


def read(given: Mapping[str, Any]) -> dict[str, Any]:
    """The value of every setting, checked.

    Args:
        given: the arguments by name. None is looked up in the configuration; `DEFAULT` is not.

    Raises:
        ConfigurationError: a value is not what the setting must be, or the configuration has a name that is none.
    """
    if any(given.get(name) is None for name in SETTINGS):
        _refuse_unknown()
    return {name: _value(name, given.get(name)) for name in SETTINGS}


def configured(name: str) -> Any:
    """A setting as dlt's configuration has it under this source's own name; None if it has not."""
    # A secret is asked for as one: dlt then takes it from no file that is none, and keeps it out of its trace.
    value: Any = (dlt.secrets if name == "api_key" else dlt.config).get(f"{SECTION}.{name}")
    return _as_list(value) if name in _LISTS and isinstance(value, str) else value


def _value(name: str, given: Any) -> Any:
    setting = SETTINGS[name]
    if given is DEFAULT:
        return setting.default
    value = configured(name) if given is None else given
    if value is None and name in _FALL_BACKS:
        value = os.environ.get(_FALL_BACKS[name]) or None
    if value is None:
        return setting.default
    try:
        return setting.read(value)
    except (ValueError, TypeError, OverflowError):
        shown = "" if name == "api_key" else f"; {name} is {value!r:.100}"
        raise ConfigurationError(f"{setting.rule}{shown}") from None


def _as_list(text: str) -> Any:
    """The list that the text is as JSON or in Python; else the text, which is one name."""
    for parse in (json.loads, ast.literal_eval):
        with suppress(ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            if isinstance(found := parse(text), list | tuple):
                return found
    return text


def _refuse_unknown() -> None:
    """Raises ConfigurationError for what stands among the settings and is none: misspelt, it would do nothing.

    Tables below the section are dlt's: its settings for this source and the resources.
    """
    for provider in dlt.config.config_providers:
        section, _ = provider.get_value("llama_extract", Any, None, "sources")
        for name, value in section.items() if isinstance(section, dict) else ():
            if name == "api_key" and not provider.supports_secrets:
                raise ConfigurationError(f"api_key is in {provider.name}: put it into secrets.toml")
            if name not in SETTINGS and not isinstance(value, dict):
                raise _unknown(f"{name} in {provider.name}", name, "{}")
    variables = {f"{PREFIX}{name.upper()}" for name in SETTINGS}
    for variable in os.environ:
        name = variable.removeprefix(PREFIX)
        if name != variable and "__" not in name and variable not in variables:
            raise _unknown(variable, name, "{} (" + PREFIX + "{})")


def _unknown(what: str, name: str, spelling: str) -> ConfigurationError:
    """The error for a name that is no setting; `spelling` is how its place spells one, lower and upper case."""
    near = difflib.get_close_matches(name.lower(), SETTINGS, 1)
    advice = f"did you mean {spelling.format(near[0], near[0].upper())}?" if near else "see docs/configuration.md"
    return ConfigurationError(f"{what} is no setting of llama_extract: {advice}")

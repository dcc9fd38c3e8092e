"""What went wrong, in one line for people: the error that says most, whatever dlt and the destination made of it."""

from __future__ import annotations

import errno
import re
import socket

from dlt.common.configuration.exceptions import ConfigFieldMissingException, ConfigurationException
from dlt.common.destination.exceptions import UnknownDestinationModule
from dlt.common.exceptions import MissingDependencyException
from dlt.common.normalizers.naming.exceptions import UnknownNamingModule
from dlt.common.pipeline import get_dlt_pipelines_dir
from dlt.destinations.impl.duckdb.exceptions import InvalidInMemoryDuckdbCredentials

from .errors import ConfigurationError, LlamaExtractError

CONFIGURATION_ERRORS = (
    ConfigurationError,
    ConfigurationException,
    InvalidInMemoryDuckdbCredentials,
    MissingDependencyException,
    UnknownDestinationModule,
    UnknownNamingModule,
)


_UNREACHABLE = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN)

_PASSWORD = re.compile(
    r"(://[^\s:/@]*:)\S*(?=@)|((?:password|secret|token)\w*['\"]?\s*[=:]\s*['\"]?)[^\s'\"&;]+", re.IGNORECASE
)


def without_passwords(text: str) -> str:
    """Return the text with what addresses and settings in it have for passwords masked."""
    return _PASSWORD.sub(r"\1\2***", text)


def telling_cause(error: BaseException) -> BaseException:
    """The error that says most: this source's own or a configuration error if there is one, else the innermost."""
    while not isinstance(error, (LlamaExtractError, *CONFIGURATION_ERRORS)):
        inner = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if inner is None:
            break
        error = inner
    return error


def needs_settings(error: BaseException) -> bool:
    """Whether a setting has to be changed before another load can do better."""
    return isinstance(error, CONFIGURATION_ERRORS) or _is_about_workers(error)


def _is_about_workers(error: BaseException) -> bool:
    """Whether it is Python's refusal of a number of threads or processes that dlt was told to take."""
    return isinstance(error, ValueError) and "max_workers" in str(error)


def one_line(error: BaseException, destination: str, *, more: str = "") -> str:
    """What went wrong, for people; `more` goes after what is not this source's own to explain."""
    if isinstance(error, LlamaExtractError):
        return str(error)
    if isinstance(error, UnknownDestinationModule):
        return f"dlt has no destination {destination!r}: try duckdb, postgres, filesystem, snowflake or bigquery"
    if isinstance(error, UnknownNamingModule):
        return f"dlt has no naming convention {error.naming_module!r}: leave SCHEMA__NAMING out, or take snake_case"
    if isinstance(error, InvalidInMemoryDuckdbCredentials):
        return "a DuckDB in memory is gone with the load: name a file in DESTINATION__DUCKDB__CREDENTIALS"
    if _is_about_workers(error):
        return "EXTRACT__WORKERS, NORMALIZE__WORKERS and LOAD__WORKERS must be at least 1"
    if isinstance(error, MissingDependencyException):
        missing = error.__cause__ or error.__context__
        if destination == "sqlalchemy" and isinstance(missing, ModuleNotFoundError) and missing.name != "sqlalchemy":
            return f"the address of the destination sqlalchemy needs the Python module {missing.name}: install it"
        return f"{error.caller} needs more packages: pip install {' '.join(map(repr, error.dependencies))}"
    if isinstance(error, ConfigFieldMissingException):
        path = ["destination", destination, *(["credentials"] if error.spec_name.endswith("Credentials") else [])]
        return (
            f"the destination {destination} lacks {', '.join(error.fields)}: set it under [{'.'.join(path)}] in "
            f".dlt/secrets.toml, or {'__'.join([*path, error.fields[0]]).upper()} in the environment"
        )
    if isinstance(error, OSError) and not error.filename and _is_of_the_network(error):
        said = error.strerror or str(error) or type(error).__name__
        return f"the destination {destination} cannot be reached ({said}): check its address, and the network"
    if isinstance(error, OSError) and error.strerror:
        # A file that is being written does not say which it is; all that are, are dlt's.
        return f"{error.strerror}: {error.filename or get_dlt_pipelines_dir()!r}"
    return f"{type(error).__name__}: {without_passwords(' '.join(str(error).split()))[:500]}{more}"


def _is_of_the_network(error: OSError) -> bool:
    return isinstance(error, ConnectionError | TimeoutError | socket.gaierror) or error.errno in _UNREACHABLE

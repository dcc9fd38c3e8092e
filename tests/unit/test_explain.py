"""What is said of an error: one line, without passwords."""

import socket

import pytest

from llama_extract_dlt.explain import one_line, without_passwords


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ('invalid option "mysql://loader:pass@word@host:1/x"', 'invalid option "mysql://loader:***@host:1/x"'),
        ("postgresql://:pass@host/x", "postgresql://:***@host/x"),
        ("host=h password=pass dbname=x", "host=h password=*** dbname=x"),
        ("md:x?motherduck_token=pass&other=1", "md:x?motherduck_token=***&other=1"),
        ("{'secret_key': 'pass', 'region': 'here'}", "{'secret_key': '***', 'region': 'here'}"),
        ("https://api.cloud.example:8080/v1/x", "https://api.cloud.example:8080/v1/x"),
    ],
)
def test_a_password_is_not_shown(said: str, shown: str) -> None:
    assert without_passwords(said) == shown
    assert one_line(ValueError(said), "postgres") == f"ValueError: {shown}"


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (ConnectionRefusedError(111, "Connect call failed"), "cannot be reached (Connect call failed)"),
        (socket.gaierror(-2, "Name or service not known"), "cannot be reached (Name or service not known)"),
        (TimeoutError(), "cannot be reached (TimeoutError)"),
        (OSError(28, "No space left on device", "/a/file"), "No space left on device: '/a/file'"),
        (PermissionError(13, "Permission denied", "/a/file"), "Permission denied: '/a/file'"),
    ],
)
def test_what_cannot_be_reached_is_no_file(error: OSError, shown: str) -> None:
    assert shown in one_line(error, "filesystem")

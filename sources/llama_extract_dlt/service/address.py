"""Checks of where requests go, and of the key that goes with them."""

from __future__ import annotations

import ipaddress
import re

import httpx

from .. import errors, settings


def checked_key(api_key: str) -> str:
    if not isinstance(api_key, str) or not api_key:
        raise errors.ConfigurationError("no API key: set LLAMA_CLOUD_API_KEY, or api_key in .dlt/secrets.toml")
    if not re.fullmatch(r"[\x21-\x7e]+", api_key):
        raise errors.ConfigurationError(
            "the API key has white space, a line break or a character beyond ASCII in it: copy it again"
        )
    return api_key


def checked_base_url(text: str) -> httpx.URL:
    """Parse the base URL with the parser that will also connect, so that both see the same host."""
    try:
        url = httpx.URL(re.sub(r"(/api(/v[12])?)?/*$", "", text.strip()))
        host = url.raw_host.decode("ascii") if url.host else ""
        port = 1 if url.port is None else url.port
    except (httpx.InvalidURL, TypeError, AttributeError, UnicodeError):
        url, host, port = httpx.URL(""), "", 0
    # A name's parts are 1 to 63 characters, as a resolver wants them.
    labels = () if ":" in host else host.removesuffix(".").split(".")
    fits = host and 0 < port < 65536 and all(re.fullmatch(r"[\w-]{1,63}", label) for label in labels)
    if url.scheme not in ("http", "https") or not fits:
        raise errors.ConfigurationError(f"base_url must look like {settings.BASE_URL}")
    if url.userinfo or url.query or url.fragment:
        # Not shown: whoever writes such a URL may have put a secret into it.
        raise errors.ConfigurationError("base_url must have no user name, password, query or fragment in it")
    if url.scheme == "http" and not _is_loopback(url.host):
        raise errors.ConfigurationError(
            f"base_url {url.scheme}://{url.host} would send the API key unencrypted: use https (http is for "
            "localhost only)"
        )
    return url


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

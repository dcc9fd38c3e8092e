"""Defaults in one place, each with its reason; and where the settings that must not be mistaken are looked up."""

import dlt

# ── the service ───────────────────────────────────────────────────────────────────────────────────────────────────

BASE_URL = "https://api.cloud.llamaindex.ai"
"""North America, as in the vendor's own clients; Europe is https://api.cloud.eu.llamaindex.ai."""

MAX_CONCURRENCY = 8
"""Requests under way at once: enough to hide the latency of pages, few enough not to look like an attack."""

TIMEOUT = 60.0
"""Seconds without a byte before a try fails: the vendor's own value; a page of large runs takes its time."""

CONNECT_TIMEOUT = 5.0
"""Seconds to connect: the vendor's own value. A host that is there answers in a fraction of that."""

RATE_WINDOW = 61.0
"""A minute's requests are spread over a second more, so that uneven latency squeezes none too many into it."""

FILES_PER_REQUEST = 100
"""100 UUIDs make a URL of 5 KB; servers and proxies commonly stop at 8."""

# ── trying again ──────────────────────────────────────────────────────────────────────────────────────────────────

MAX_TRIES = 8
"""With the waits below, eight tries outlast about two minutes of trouble."""

MAX_WAIT = 600.0
"""Seconds that one request spends waiting between its tries: an hourly job should not hang for half the hour."""

BACKOFF_FIRST, BACKOFF_MAX = 1.0, 60.0
"""Waits between tries are random, at most 1, 2, 4 … 60 seconds: a crowd of clients must not come back together."""

TRIES_TO_FIRST_CONTACT = 3
"""A host that never answered is more likely a wrong base_url than an outage: say so within seconds."""

MAX_REDIRECTS = 3
"""Redirects within the host are followed this far; the API makes none."""

LONG_WAIT = 10.0
"""A wait of so many seconds is worth a warning in the log."""

EXCERPT = 120
"""Characters of a foreign body that an error shows: enough to recognise a proxy's login page."""

# ── reading and loading ───────────────────────────────────────────────────────────────────────────────────────────

PAGE_SIZE = 100
"""Runs asked for a page: what the vendor's own client asks for. A server may answer with fewer."""

CHUNK_RUNS = 1000
"""Runs turned into tables at a time. The fixed cost of a chunk (about 20 tables, each a write) vanishes above 500."""

CHUNK_BYTES = 8 * 1024 * 1024
"""JSON bytes turned into tables at a time, whichever is reached first: it bounds memory when runs are large. Half or
double of it took the same time."""


def own_setting(name: str) -> str | None:
    """A setting under this source's own name in dlt's configuration, None if it is not there.

    dlt by itself also takes a variable that is just called API_KEY, BASE_URL or PROJECT_ID: somebody else's key, or
    somebody else's host to send the key to.
    """
    return dlt.secrets.get(f"sources.llama_extract.{name}", str)

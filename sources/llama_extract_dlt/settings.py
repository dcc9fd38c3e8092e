"""Defaults in one place, each with its reason."""

BASE_URL = "https://api.cloud.llamaindex.ai"
"""North America, as in the vendor's own clients; Europe is https://api.cloud.eu.llamaindex.ai."""

PAGE_SIZE = 100
"""Runs asked for a page: what the vendor's own client asks for. A server may answer with fewer."""

MAX_CONCURRENCY = 8
"""Requests under way at once: enough to hide the latency of pages, few enough not to look like an attack."""

CHUNK_RUNS = 1000
"""Runs turned into tables at a time. Fixed costs of a chunk (about 20 tables, each a write) vanish above 500."""

CHUNK_BYTES = 16 * 1024 * 1024
"""JSON bytes turned into tables at a time, whichever is reached first: it bounds memory when runs are large."""

"""Defaults in one place, each with its reason; config.py says what settings may be, and where they are looked up."""

# ── the service ───────────────────────────────────────────────────────────────────────────────────────────────────

BASE_URL = "https://api.cloud.llamaindex.ai"
"""North America, as in the vendor's own clients; Europe is https://api.cloud.eu.llamaindex.ai."""

MAX_CONCURRENCY = 8
"""Requests under way at once: enough to hide the latency of pages, few enough not to look like an attack."""

TIMEOUT = 60.0
"""Seconds without a byte before a try fails: the vendor's own value; a page of large runs takes its time."""

CONNECT_TIMEOUT = 5.0
"""Seconds to connect: the vendor's own value. A host that is there answers in a fraction of that."""

DEADLINE_TIMEOUTS = 10.0
"""A whole answer may take so many times `timeout`: a server that sends a byte now and then must not hold a load up."""

MAX_ANSWER_BYTES = 128 * 1024 * 1024
"""Size of an answer, unpacked: far above any single run, and what a small container has room for."""

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

PAGE_BYTES = 4 * 1024 * 1024
"""Bytes of JSON that a page should have: runs are asked for in such numbers, `page_size` at most. Usual runs (20 KB
with citations) never reach it."""

MAX_PAGE_BYTES = 32 * 1024 * 1024
"""A page that turns out larger is not read to its end, but asked for again in parts: nobody knows how large the first
runs of a list are."""

AHEAD_BYTES = 64 * 1024 * 1024
"""Bytes of pages that may be fetched ahead of what is read, all agents together."""

PAGE_OVERLAP = 1
"""Items that a page has in common with the one before: one is enough to notice that the list has moved, and costs one
request in a hundred."""

MAX_REPAIRS, MAX_RESTARTS = 10, 2
"""How often reading a list goes back (doubling the distance) and starts anew before it takes the pages in any order."""

MAX_PASSES = 3
"""How often a list that comes in another order each time is read from end to end, half of every page twice, until as
many runs were seen as the service says there are."""

MAX_REPEATS = 3
"""Pages in a row that only repeat what was read before a list is given up: the service does not heed `skip`. Honest
pages do that only when so many pages of runs are created between two requests."""

NARROWING = 4
"""A page that fails for good is asked for again in parts of a quarter, down to the one item that cannot be read."""

MAX_UNREADABLE_ITEMS = 3
"""Items in a row that cannot be read before the list is given up: the service itself is in trouble."""

NARROW_TRIES = 2
"""Tries for a part of a page that has failed for good after all of its own."""

BATCH_RUNS = 1000
"""Runs turned into tables at a time. The fixed cost of a batch (about 20 tables, each a write) vanishes above 500."""

BATCH_BYTES = 8 * 1024 * 1024
"""JSON bytes turned into tables at a time, whichever is reached first: it bounds memory when runs are large. Half or
double of it took the same time."""

CHUNK_SIZE = 5000
"""Runs that the command commits at a time. Each commit costs about a second; a kill costs what was not committed."""

CHUNK_BYTES = 128 * 1024 * 1024
"""JSON bytes that are committed at a time, whichever is reached first: a warehouse needs memory for them, DuckDB
several times over. 5,000 usual runs have 100 MB."""

LARGE_RUN = 512 * 1024
"""A run of more bytes counts four times in `CHUNK_BYTES`: its values are large, too, and DuckDB works on 2,048 rows
at once, however large they are."""

DECLARED_COLUMNS, DECLARED_TABLES = 1000, 100
"""Columns and tables of an agent's schema that are there before their first value; schemas that were generated may have
many more. PostgreSQL has room for 1,600 columns in a table, and making an empty table takes a warehouse 20 ms and
more."""

ASKED_TOGETHER = 200
"""Runs read by ID that are looked up in the warehouse at once."""

MAX_TABLE_NAME = 200
"""Bytes of a table's name: files are named after it, which may have 255 with what dlt adds. A run whose data would need
a longer one is set aside."""

REMEMBERED_ITEMS = 5000
"""Items of a list that are remembered to find the place again: enough to go back over many deletions."""

MAX_DEPTH = 100
"""Levels of lists and objects in a run, itself included; one that has more is set aside. A level of lists is a table, a
level of objects a part of a column's name, so nobody has that many. And what reads a level by calling itself, in Python
and in Arrow, stays far from the end of its stack."""

LOCK_LEASE, LOCK_RENEWAL = 120.0, 20.0
"""Seconds without a sign of life after which a lock in a bucket counts as a dead process's, and between two signs: five
may fail in a row. A lock of the system or of a database ends with its process, and needs neither."""

DELTA_CHECKPOINT_EVERY = 10
"""Commits of a Delta table until its log is summed up. Whoever opens the table reads all commits since then, a request
each where it is in a bucket, and a load opens each table; deltalake's own hundred is for tables of many rows."""

DELTA_TRIES = 5
"""Tries to merge into a Delta table that somebody else changes meanwhile."""

# ── change tracking ───────────────────────────────────────────────────────────────────────────────────────────────

LAG = 600.0
"""Seconds before the watermark that are looked at again: a run may become visible after one that is younger. Longer
than a transaction at the service takes or its clocks are apart, shorter than a page of runs usually reaches."""

FULL_SCAN_EVERY = 7.0
"""Days between full scans, which find what a look at the newest runs cannot: deletions, and edits of old runs. A scan
costs a request for 99 runs."""

CONFIRMED_DELETIONS = 100
"""Runs that a list leaves out are asked for by their ID before they count as deleted: all of them up to this number,
else so many spread over them. 100 requests are what a list of 10,000 runs costs, and 5 minutes of a free account. If
the list is wrong about 5 in 100 of the runs in question, a sample of 100 finds one with a chance of 99.4 %."""

WRITER = "2"
"""The version of how runs are written. A run that an earlier one wrote is written again by the next full scan."""

UNKNOWN_STATUS_DAYS = 7.0
"""A run with a status that is not documented may be in flight, or final. For so many days it is read again."""

REMEMBERED_REJECTS = 1000
"""Rejected items of an agent that are remembered, so that each is reported once."""

COUNTED_RUNS = 125_000
"""Runs whose child rows DuckDB counts at a time in a full scan: that takes 2 KB of memory for each."""

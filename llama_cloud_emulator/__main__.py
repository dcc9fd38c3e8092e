"""The command line: `python -m llama_cloud_emulator --port 8765 --runs 200 --seed 1`."""

import argparse
import json
import signal
import sys
import threading
from typing import NoReturn

from llama_cloud_emulator.documents import CORPORA
from llama_cloud_emulator.emulator import Emulator
from llama_cloud_emulator.store import ORDERS


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def main(arguments: list[str] | None = None) -> int:
    parser = _Parser("llama_cloud_emulator", description="Serve a made-up LlamaCloud on 127.0.0.1.")
    parser.add_argument("--port", type=int, default=8765, help="0 takes a free port (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=200, help="number of runs (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same runs (default: 1)")
    parser.add_argument("--corpus", choices=tuple(CORPORA), default="mixed", help="which agents (default: %(default)s)")
    parser.add_argument("--order", choices=ORDERS, default="newest", help="order of run lists")
    parser.add_argument("--page-limit", type=int, default=100, help="the most runs that a page has")
    parser.add_argument("--gzip", action="store_true", help="compress answers for clients that accept it")
    parser.add_argument("--api-key", default="llx-emulator", help="the key that clients must send")
    parser.add_argument("--warm", action="store_true", help="make all runs before the first request")
    options = parser.parse_args(arguments)
    for name, low, high in (("port", 0, 65535), ("runs", 0, 10_000_000), ("page_limit", 1, 1_000_000)):
        if not low <= getattr(options, name) <= high:
            parser.error(f"argument --{name.replace('_', '-')}: must be from {low} to {high}")

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    cloud = Emulator(
        runs=options.runs,
        seed=options.seed,
        corpus=options.corpus,
        order=options.order,
        page_limit=options.page_limit,
        gzip=options.gzip,
        api_key=options.api_key,
        port=options.port,
    )
    try:
        cloud.start()
    except OSError as error:
        print(f"llama_cloud_emulator: cannot listen on port {options.port}: {error.strerror}", file=sys.stderr)
        return 1
    if options.warm:
        cloud.warm()
    ready = {
        "base_url": cloud.base_url,
        "api_key": cloud.api_key,
        "agents": len(cloud.agents()),
        "runs": options.runs if cloud.agents() else 0,
    }
    print(json.dumps(ready), flush=True)
    stop.wait()
    cloud.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())

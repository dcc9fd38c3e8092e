"""Ctrl-C and SIGTERM: both end the command there and then, whatever it is at."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from functools import partial
from typing import NoReturn

STOPPING = (signal.SIGINT, signal.SIGTERM)


def hear() -> None:
    """Lets the signals that stop a process end this one, even as the first of a container, which has to ask for that.

    Python would run a handler once the main thread is back from the database, which may be at work, or wait for a lock,
    for hours. So a thread of its own hears of signals. What was ignored from the start stays so, as with `nohup`.
    """
    heard = [number for number in STOPPING if signal.getsignal(number) is not signal.SIG_IGN]
    for number in heard:
        signal.signal(number, lambda *_: None)
    ours, pythons = socket.socketpair()
    pythons.setblocking(False)
    signal.set_wakeup_fd(pythons.fileno(), warn_on_full_buffer=False)

    def listen() -> None:
        with pythons:
            while (number := ours.recv(1)[0]) not in heard:
                pass
            end(number)

    threading.Thread(target=listen, name="llama-extract signals", daemon=True).start()
    if hasattr(os, "register_at_fork"):
        # Nothing is ever written: whoever reads hears when all that could write have ended.
        os.register_at_fork(after_in_child=partial(_be_a_worker, list(os.pipe())))


def _be_a_worker(pipe: list[int]) -> None:
    """A worker that dlt forks ends as any process does: without a word, and not the load with it, but with the load."""
    signal.set_wakeup_fd(-1)
    for number in STOPPING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    if pipe:  # not yet used up, by the worker that has forked this one
        reading, writing = pipe
        pipe.clear()
        os.close(writing)
        threading.Thread(target=lambda: os._exit(len(os.read(reading, 1))), daemon=True).start()


def end(number: int) -> NoReturn:
    """Ends the process and its workers: a load may be cut off anywhere, the next one starts over."""
    # On a terminal on a line of its own, with the cursor that the progress has hidden.
    start = b"\x1b[?25h\n" if os.isatty(2) else b""
    said = b"interrupted" if number == signal.SIGINT else b"terminated"
    try:
        with suppress(OSError):
            os.write(2, start + said + b": run again to finish, nothing will be in the warehouse twice\n")
        if (multiprocessing := sys.modules.get("multiprocessing")) is not None:
            # Each would wait for more to do, for ever; one that has just been forked is not among them, and sees to it.
            for worker in multiprocessing.active_children():
                worker.kill()
    finally:
        os._exit(128 + number)

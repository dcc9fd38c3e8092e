"""What went wrong, told on the terminal."""

from __future__ import annotations

import argparse
import traceback

from ..load.explain import is_misconfigured, one_line, telling_cause
from .console import say


def tell(error: Exception, options: argparse.Namespace) -> bool:
    """Says what went wrong, with -v where; whether a setting has to be changed."""
    if options.verbose:
        say(*"".join(traceback.format_exception(error)).rstrip().split("\n"))
    cause = telling_cause(error)
    say(f"error: {one_line(cause, options.destination, ' (-v shows where)')}")
    return is_misconfigured(cause)

"""What went wrong, said to whoever has called the command."""

from __future__ import annotations

import argparse
import traceback

from ..explain import needs_settings, one_line, telling_cause, without_passwords
from .console import say


def tell(error: Exception, options: argparse.Namespace) -> bool:
    """Says what went wrong, with -v where; whether a setting has to be changed."""
    if options.verbose:
        say(*without_passwords("".join(traceback.format_exception(error))).rstrip().split("\n"))
    cause = telling_cause(error)
    say(f"error: {one_line(cause, options.destination, more=' (-v shows where)')}")
    return needs_settings(cause)

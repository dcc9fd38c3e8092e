"""What a process takes: seconds, processor time, memory."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from llama_cloud_emulator import Emulator

# Linux counts the memory of whoever starts a process as its own, so somebody small does.
_STARTER = """
import json, os, subprocess, sys
process = subprocess.Popen(sys.argv[1:])
_, status, usage = os.wait4(process.pid, 0)
print(json.dumps([os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024]))
"""


def environment_of(cloud: Emulator, data: Path, **more: str) -> dict[str, str]:
    """The environment of a command that loads from the emulator, with dlt's folder at `data`."""
    return os.environ | {
        "LLAMA_CLOUD_API_KEY": cloud.api_key,
        "LLAMA_CLOUD_BASE_URL": cloud.base_url,
        "DLT_DATA_DIR": str(data),
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        **more,
    }


class Measured(NamedTuple):
    """What a process took, and the last line that it printed."""

    code: int
    seconds: float
    cpu: float
    peak_mb: float
    said: str


def measure(command: list[str], **settings: Any) -> Measured:
    """Runs the command to its end; `settings` are those of `subprocess.run`."""
    began = time.monotonic()
    starter = [sys.executable, "-S", "-c", _STARTER, *command]
    done = subprocess.run(starter, stdout=subprocess.PIPE, text=True, check=True, **settings)
    seconds = time.monotonic() - began
    *said, last = done.stdout.splitlines()
    code, cpu, peak_mb = json.loads(last)
    return Measured(code, seconds, cpu, peak_mb, said[-1] if said else "")

"""The command as a script: `python pipelines/runs.py` is `llama-extract`.

Cron and orchestrators start it from anywhere: the settings beside the code serve where there are none at hand.
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# A home folder has a .dlt too, with what dlt keeps for itself.
if not any(Path(".dlt", name).is_file() for name in ("config.toml", "secrets.toml")) and (ROOT / ".dlt").is_dir():
    os.environ.setdefault("DLT_PROJECT_DIR", str(ROOT))

from llama_extract_dlt.cli.main import main  # noqa: E402  (after the settings' place is known)

if __name__ == "__main__":
    sys.exit(main())

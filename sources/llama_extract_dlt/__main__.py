"""`python -m llama_extract_dlt` is the command."""

import sys

from .cli.main import main

sys.exit(main())

"""LlamaCloud extraction runs as typed, joinable tables: a dlt source.

import dlt
from llama_extract_dlt import llama_extract

pipeline = dlt.pipeline("extractions", destination="duckdb", dataset_name="llama_extract")
pipeline.run(llama_extract(agents=["Invoices"]))
"""

from .errors import ConfigurationError, LlamaExtractError
from .load.session import load
from .source import llama_extract

__all__ = ["ConfigurationError", "LlamaExtractError", "llama_extract", "load"]

"""The environment has the orchestrator, and the source beside it."""

import importlib


def test_the_source_and_() -> None:
    assert importlib.import_module("llama_extract_dlt").sync
    assert importlib.import_module("dagster").__version__

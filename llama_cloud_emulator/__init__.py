"""A local LlamaCloud for demos, tests and benchmarks: made-up but lifelike extraction runs over real HTTP."""

from llama_cloud_emulator.emulator import Emulator
from llama_cloud_emulator.wire import Request

__all__ = ["Emulator", "Request"]

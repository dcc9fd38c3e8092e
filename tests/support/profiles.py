"""How long hypothesis looks: HYPOTHESIS_PROFILE is dev, ci (the default) or nightly."""

import os

from hypothesis import settings

# The steps of the model test. In CI the same ones every time; elsewhere others.
MODEL_STEPS = {"dev": 200, "ci": 300, "nightly": 20_000}
# Sets of documents that are compared with what dlt makes of them.
ORACLE_EXAMPLES = {"dev": 50, "ci": 200, "nightly": 2_000}
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "ci")


def register_profiles() -> None:
    settings.register_profile("dev", deadline=None, print_blob=True)
    settings.register_profile("ci", deadline=None, print_blob=True, derandomize=True, database=None)
    settings.register_profile("nightly", deadline=None, print_blob=True)
    settings.load_profile(PROFILE)

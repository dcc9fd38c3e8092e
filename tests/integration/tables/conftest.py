"""Tests here begin with a LlamaCloud in which nothing has happened yet."""

from support.fixtures import cloud, elsewhere, house, letters  # noqa: F401

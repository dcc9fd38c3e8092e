"""Runs in, Arrow tables out: pure functions of JSON, no HTTP, no state, no pipeline."""

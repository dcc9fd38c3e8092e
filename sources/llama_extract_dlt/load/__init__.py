"""The way into a dlt pipeline: what the resources give out, locks, packages, the report."""

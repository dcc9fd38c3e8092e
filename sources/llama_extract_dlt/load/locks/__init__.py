"""Locks that keep two loads into one dataset apart."""

"""Measurements against the limits of the database and against a peer: ``python -m benchmarks``."""

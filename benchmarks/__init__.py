"""Measurements, compared with the limits of the database and with peers: ``python -m benchmarks``."""

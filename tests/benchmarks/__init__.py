"""Simulated tables, speed and other people's models: scripts, run with ``python tests/benchmarks/run.py``."""

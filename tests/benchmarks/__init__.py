"""Benchmarks on simulated tables, of speed, and against other libraries: scripts, run with ``python tests/benchmarks/run.py``."""

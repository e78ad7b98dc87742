"""Benchmarks: simulated tables, speed, other libraries; scripts, run with ``python tests/benchmarks/run.py``."""

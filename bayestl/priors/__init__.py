"""Priors over functions of (row, task): processes, and how they add up."""

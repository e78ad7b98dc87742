"""Diagnostics of a fit: draws at the rows of its table, their export to ArviZ, and checks with advice."""

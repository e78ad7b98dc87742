"""Exact inference for Gaussian labels, and for others through Gaussian pseudo-labels."""

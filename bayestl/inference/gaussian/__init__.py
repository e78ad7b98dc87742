"""Exact inference for Gaussian labels, and variational inference for others through Gaussian pseudo-labels."""

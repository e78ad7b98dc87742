"""Gaussian-process architectures whose posterior is exact given the hyperparameters (for Gaussian labels)."""

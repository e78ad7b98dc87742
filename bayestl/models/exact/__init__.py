"""Architectures whose posterior is exact given the hyperparameters."""

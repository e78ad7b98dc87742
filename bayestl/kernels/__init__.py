"""Covariance functions over features, their hyperparameters with priors, and the Cholesky factor of a covariance."""

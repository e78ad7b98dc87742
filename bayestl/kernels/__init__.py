"""Covariance functions over features, hyperparameters with priors, and the Cholesky factor of a covariance matrix."""

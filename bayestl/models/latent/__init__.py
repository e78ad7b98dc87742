"""Graphs of tasks with explicit latent values in each row: prior, variational and MCMC posteriors, estimator."""

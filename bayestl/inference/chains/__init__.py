"""Markov chain Monte Carlo over hyperparameters and latent values, vectorised over chains and temperatures."""

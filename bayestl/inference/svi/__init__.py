"""Stochastic variational inference with Pyro."""

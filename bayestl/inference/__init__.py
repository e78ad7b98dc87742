"""Inference engines for any prior and likelihood: exact Gaussian, Markov chains, stochastic variational."""

from bayestl.progress import import_tqdm

import_tqdm()  # GPyTorch imports Pyro, and that tqdm

"""The models: architectures (a prior each), ensembles of them, and the estimator contract that all share."""

from bayestl.progress import import_tqdm

import_tqdm()  # GPyTorch imports Pyro, which imports tqdm

"""The architectures, each a prior."""

from bayestl.progress import import_tqdm

import_tqdm()  # GPyTorch imports Pyro, and that tqdm

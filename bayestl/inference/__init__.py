"""The engines, which know no architecture."""

from bayestl.progress import import_tqdm

import_tqdm()  # GPyTorch imports Pyro, and that tqdm

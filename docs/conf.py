"""Sphinx configuration."""

import shutil
import warnings
from pathlib import Path

warnings.filterwarnings("ignore", message=".torch.jit", category=DeprecationWarning)

# the notebooks are in a folder beside the docs: a gallery of them is made anew for each build
here = Path(__file__).parent
gallery = here / "notebooks"
gallery.mkdir(exist_ok=True)
names = []
for path in sorted((here.parent / "notebooks").glob("*.ipynb")):
    shutil.copy(path, gallery / path.name)
    names.append(path.stem)
(gallery / "index.md").write_text(
    "# Notebooks\n\n```{toctree}\n:maxdepth: 1\n\n" + "\n".join(names) + "\n```\n", encoding="utf-8"
)

project = "bayestl"
author = "The bayestl developers"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon"]
extensions += ["sphinx-mathjax-offline"]  # formulas are readable without a network
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "bayestl"
nb_execution_mode = "off"
myst_enable_extensions = ["dollarmath"]
napoleon_google_docstring = False
napoleon_use_rtype = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"
suppress_warnings = ["config.cache"]

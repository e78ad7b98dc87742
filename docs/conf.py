"""Sphinx configuration."""

import warnings

warnings.filterwarnings("ignore", message=".torch.jit", category=DeprecationWarning)

project = "bayestl"
author = "The bayestl developers"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon"]
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

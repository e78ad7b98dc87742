"""Sphinx configuration."""

import re
import shutil
import sys
import warnings
from pathlib import Path

import bayestl

warnings.filterwarnings("ignore", message=".torch.jit", category=DeprecationWarning)

here = Path(__file__).parent
sys.path.insert(0, str(here))
from members import MEMBERS  # noqa: E402
from parameters import described, public  # noqa: E402

# the notebooks are in a folder beside the docs: a gallery of them is made anew for each build
gallery = here / "notebooks"
gallery.mkdir(exist_ok=True)
names = []
for path in sorted((here.parent / "notebooks").glob("*.ipynb")):
    shutil.copy(path, gallery / path.name)
    names.append(path.stem)
(gallery / "index.md").write_text(
    "# Notebooks\n\nWith their outputs; the files are in the folder `notebooks` of the repository.\n\n"
    "```{toctree}\n:maxdepth: 1\n\n" + "\n".join(names) + "\n```\n",
    encoding="utf-8",
)
shutil.rmtree(here / "api", ignore_errors=True)  # the pages of objects are made anew, too

project = "bayestl"
author = copyright = "The bayestl developers"
version = release = bayestl.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon"]
extensions += ["sphinx_copybutton", "sphinx_design"]
extensions += ["sphinx-mathjax-offline"]  # formulas are readable without a network
exclude_patterns = ["_build", "data/README.md"]
templates_path = ["_templates"]
html_theme = "furo"
html_title = f"bayestl {version}"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_show_sourcelink = False
nb_execution_mode = "off"
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_custom_sections = [("Attributes", "params_style")]  # a list, as that of parameters
napoleon_use_param = False  # types are words such as "shape (n, d)", no names to link
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autosummary_context = {"MEMBERS": MEMBERS}
suppress_warnings = ["config.cache"]


def setup(app):
    """Links to the notebooks lead to the pages made of them; parameters are described on every page that has them."""

    def link(app, name, source):
        source[0] = re.sub(r"\]\(\.\./((?:\.\./)*)notebooks/", r"](\1notebooks/", source[0])

    def describe(app, what, name, obj, options, lines):
        lines[:] = described(lines)

    def shorten(app, what, name, obj, options, signature, returns):
        return public(signature), returns

    app.connect("source-read", link)
    app.connect("autodoc-process-docstring", describe, priority=400)  # before napoleon
    app.connect("autodoc-process-signature", shorten)

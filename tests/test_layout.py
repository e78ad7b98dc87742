"""The shape of the package: small files, small folders, no circle of imports (its layers are in pyproject.toml)."""

from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

PACKAGE = Path(__file__).parents[1] / "bayestl"
MOST_FILES, MOST_LINES = 12, 350


def test_no_folder_holds_more_than_a_dozen_files():
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    counts = {str(f.relative_to(PACKAGE.parent)): len(list(f.glob("*.py"))) for f in folders}
    assert max(counts.values()) > 3
    assert {folder: n for folder, n in counts.items() if n > MOST_FILES} == {}


@pytest.mark.parametrize("where", ["bayestl", "tests"])
def test_no_file_is_long(where):
    root = PACKAGE.parent
    lines = {str(p.relative_to(root)): len(p.read_text().splitlines()) for p in (root / where).rglob("*.py")}
    assert len(lines) > 10
    assert {path: n for path, n in lines.items() if n > MOST_LINES} == {}


def test_no_modules_import_each_other_in_a_circle():
    """Module by module, a package's ``__init__`` and imports for type checking and within functions included."""
    graph = grimp.build_graph("bayestl", cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert sum(len(imported) for imported in imports.values()) > 300
    TopologicalSorter(imports).prepare()  # raises CycleError, which names the circle

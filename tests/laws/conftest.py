"""One fitted cell at a time: tests are sorted by their cell, so that each is fitted once for each worker."""

from collections.abc import Callable

import pytest

from laws.cells import CELLS, Cell, skipped


def pytest_generate_tests(metafunc):
    if "cell" not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker("cells")
    chosen: Callable[[Cell], bool] = marker.args[0] if marker else lambda _: True
    cells = [c for c in CELLS if chosen(c)]
    metafunc.parametrize("cell", cells, ids=[c.id for c in cells], indirect=True, scope="session")


@pytest.fixture(scope="session")
def cell(request):
    if reason := skipped(request.param):
        pytest.skip(reason)
    return Cell(request.param.model_name, request.param.kind_name)


def pytest_configure(config):
    config.addinivalue_line("markers", "cells(chosen): the cells to which a law applies, a function of a Cell")

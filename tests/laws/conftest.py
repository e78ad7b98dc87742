"""One fitted cell at a time: tests are sorted by their cell, so that each is fitted once for each worker.

Laws hold on every cell; on those outside :data:`SPREAD` that is for ``make test-slow``.
"""

from collections.abc import Callable

import pytest

from laws.cells import CELLS, SPREAD, Cell


def pytest_generate_tests(metafunc):
    if "cell" not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker("cells")
    chosen: Callable[[Cell], bool] = marker.args[0] if marker else lambda _: True
    cells = [pytest.param(c, id=c.id, marks=() if c.id in SPREAD else pytest.mark.slow) for c in CELLS if chosen(c)]
    metafunc.parametrize("cell", cells, indirect=True, scope="session")


@pytest.fixture(scope="session")
def cell(request):
    return Cell(request.param.model_name, request.param.kind_name)


def pytest_configure(config):
    config.addinivalue_line("markers", "cells(chosen): the cells to which a law applies, a function of a Cell")

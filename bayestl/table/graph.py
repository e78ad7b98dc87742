"""Orders of tasks: fidelity levels, and graphs in which a task depends on its parents."""

from __future__ import annotations

import graphlib
from collections.abc import Iterable, Mapping, Sequence

from bayestl.table.task import TaskPart


def parent_channels(parts: Sequence[TaskPart], child: TaskPart, parent: int) -> tuple[TaskPart, bool]:
    """The part of the task ``parent`` that a part of another task depends on, and whether the two are of one kind.

    It is the part with the same role if that has as many latent functions, else the main part.
    """
    main = next(p for p in parts if p.task == parent and not p.role)
    for p in parts:
        if p.task == parent and p.role == child.role and p.likelihood.n_latent == child.likelihood.n_latent:
            return p, p.likelihood.has_noise == child.likelihood.has_noise
    return main, False


def order_levels(levels: Sequence[str] | None, columns: Sequence[str]) -> tuple[int, ...]:
    """Positions of ``levels`` among ``columns``; all columns in their order where ``levels`` is None.

    Raises
    ------
    ValueError
        If a level is not a column or is named twice, or if a column is not a level.
    """
    if levels is None:
        return tuple(range(len(columns)))
    if isinstance(levels, str) or not isinstance(levels, Iterable):
        raise ValueError(f"levels= must be a list of label columns, lowest fidelity first, got {levels!r}")
    for name in levels:
        if list(levels).count(name) > 1:
            raise ValueError(f"levels= names {name!r} twice")
    _check_levels(levels, columns)
    return tuple(list(columns).index(name) for name in levels)


def _check_levels(levels: Iterable[str], columns: Sequence[str]) -> None:
    """Refuse levels that are no columns, and columns that are no levels."""
    named = list(levels)
    for name in named:
        if name not in columns:
            raise ValueError(f"levels= names {name!r}, which is no column of Y; the columns are {list(columns)}")
    if missing := [name for name in columns if name not in named]:
        raise ValueError(f"column {missing[0]!r} of Y is not in levels={named}: add it or drop the column")


def followed_levels(
    levels: Sequence[str] | Mapping[str, str | None] | None, columns: Sequence[str]
) -> dict[int, int | None]:
    """The level that each level follows, None for the lowest ones, by positions among ``columns``; lower ones come first.

    ``levels`` are those of :func:`order_levels`, or a mapping of each level to the one that it follows.

    Raises
    ------
    ValueError
        If a level is not a column, a column not a level, or a level follows itself, directly or through others.
    """
    if not isinstance(levels, Mapping):
        order = order_levels(levels, columns)
        return dict(zip(order, (None, *order[:-1]), strict=True))
    for level, below in levels.items():
        if not (below is None or isinstance(below, str)):
            raise ValueError(
                f"levels={{{level!r}: {below!r}}}: the name of one level is expected, or None for a lowest one"
            )
    _check_levels({**levels, **{below: None for below in levels.values() if below is not None}}, columns)
    parents = {columns.index(name): levels.get(name) for name in columns}
    follows = {t: None if below is None else columns.index(below) for t, below in parents.items()}
    for start in follows:
        path, t = [start], follows[start]
        while t is not None and t not in path:
            path.append(t)
            t = follows[t]
        if t is not None:
            names = " follows ".join(repr(columns[i]) for i in [*path[path.index(t) :], t])
            raise ValueError(f"levels= go in a circle: {names}")
    below_first = graphlib.TopologicalSorter({t: [] if below is None else [below] for t, below in follows.items()})
    return {t: follows[t] for t in below_first.static_order()}


def levels_without(
    levels: Sequence[str] | Mapping[str, str | None] | None, name: str
) -> list[str] | dict[str, str | None] | None:
    """Levels as for :func:`followed_levels` without one of them; what followed it follows the level below it."""
    if levels is None:
        return None
    if not isinstance(levels, Mapping):
        return [level for level in levels if level != name]
    below = levels.get(name)
    rest = {level: below if follows == name else follows for level, follows in levels.items() if level != name}
    return rest if below is None else {below: None, **rest}


def order_graph(graph: Mapping[str, Sequence[str]] | None, columns: Sequence[str]) -> dict[int, tuple[int, ...]]:
    """Parents of each task as positions among ``columns``, in an order in which parents come first.

    ``None`` is the chain of the columns in their order.

    Raises
    ------
    ValueError
        If the graph names an unknown task, a task as its own parent, or has a cycle.
    """
    columns = list(columns)
    if graph is None:
        return {i: (i - 1,) if i else () for i in range(len(columns))}
    if not isinstance(graph, Mapping):
        raise ValueError(
            f"graph= must be a dict of each task's parents, such as {{'measured': ['dft']}}, got {graph!r}"
        )
    parents: dict[int, tuple[int, ...]] = dict.fromkeys(range(len(columns)), ())
    for child, names in graph.items():
        if isinstance(names, str) or not isinstance(names, Iterable):
            raise ValueError(f"graph={{{child!r}: {names!r}}}: parents must be a list, such as [{names!r}]")
        for name in (child, *names):
            if name not in columns:
                raise ValueError(f"graph= names {name!r}, which is no column of Y; the columns are {columns}")
        if len(set(names)) < len(names):
            raise ValueError(f"graph= gives {child!r} the same parent twice: {list(names)}")
        parents[columns.index(child)] = tuple(columns.index(name) for name in names)
    sorter = graphlib.TopologicalSorter(parents)
    try:
        sorter.prepare()
    except graphlib.CycleError as error:
        cycle = [columns[i] for i in sorted(set(error.args[1]))]
        raise ValueError(f"graph= has a cycle among {cycle}: a task cannot be its own ancestor") from None
    order: list[int] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())  # tasks whose parents are all placed, in the order of the columns
        order += ready
        sorter.done(*ready)
    return {task: parents[task] for task in order}

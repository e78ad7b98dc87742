"""A table as a graph of tasks sees it: which function follows which, what may lack labels, the labels of each part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from bayestl.likelihoods import Gaussian
from bayestl.models.latent.prior import PartData
from bayestl.table.graph import order_graph, parent_channels
from bayestl.table.scaler import Scaler
from bayestl.table.table import Known, Table, refuse_empty_parts


def scaled(graph: Mapping[str, Sequence[str]] | None, table: Table) -> Scaler:
    """That of the table; a task without labels has the units of its parents."""
    scaler = Scaler.of(table)
    for t, above in order_graph(graph, table.names).items():
        if above and not table.present[:, t].any():
            scaler.y_mean[t], scaler.y_scale[t] = (v[list(above)].mean() for v in (scaler.y_mean, scaler.y_scale))
    return scaler


def refuse_unlabelled(graph: Mapping[str, Sequence[str]] | None, table: Table) -> None:
    """A task without labels follows from its parents through their edge's prior, so it must be able to.

    Raises
    ------
    ValueError
        Naming a task that is not.
    """
    refuse_empty_parts(table, [p for p in table.parts if table.present[:, p.task].any()])
    there = np.asarray(table.present.any(axis=0))
    above = order_graph(graph, table.names)
    for t in np.flatnonzero(there).tolist():
        if missing := [table.names[p] for p in above[t] if not there[p]]:
            raise ValueError(
                f"task {missing[0]!r} has no labels, and {table.names[t]!r} follows it: only tasks that no labelled task "
                "follows may have none"
            )
    for t in np.flatnonzero(~there).tolist():
        kinds = {table.tasks[k].observes for k in (t, *above[t])}
        if not above[t] or len(kinds) > 1 or not isinstance(kinds.pop(), Gaussian):
            raise ValueError(
                f"task {table.names[t]!r} has no labels: drop the column, add at least one measurement, or give it "
                "parents in graph= from which it is predicted (all with Gaussian labels of one kind)"
            )


def parents_of(graph: Mapping[str, Sequence[str]] | None, table: Table) -> dict[int, tuple[int, ...]]:
    """Parents of each latent function, parents first."""
    parts, out = table.parts, {}
    for t, above in order_graph(graph, table.names).items():
        for part in (p for p in parts if p.task == t):
            sources = [parent_channels(parts, part, p)[0] for p in above]
            for i, c in enumerate(part.channels):
                alike = [len(s.channels) == len(part.channels) for s in sources]
                out[c] = tuple(
                    k for s, one in zip(sources, alike, strict=True) for k in ((s.channels[i],) if one else s.channels)
                )
    return out


def label_blocks(table: Table, scaler: Scaler, labels: Known, se: np.ndarray) -> list[PartData]:
    """The labels of each part, scaled."""
    out = []
    for part in table.parts:
        y, se2, high = (torch.from_numpy(v) for v in scaler.block(labels, se, part, table.tasks[part.task]))
        out.append(PartData(part, y, high, se2))
    return out

"""A table and the user's ``graph=`` as a latent graph: parents of each function, scaled labels, unlabelled tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from bayestl.device import tensor
from bayestl.likelihoods import Gaussian
from bayestl.models.latent.prior import PartData
from bayestl.table.graph import order_graph, parent_channels
from bayestl.table.measured import Measured
from bayestl.table.scaler import Scaler
from bayestl.table.table import Table, refuse_empty_parts


def scaled(graph: Mapping[str, Sequence[str]] | None, table: Table) -> Scaler:
    """The scaler of the table; a task without labels has the mean location and scale of its parents."""
    scaler = Scaler.of(table)
    for t, parents in order_graph(graph, table.names).items():
        if parents and not table.present[:, t].any():
            scaler.y_mean[t], scaler.y_scale[t] = (v[list(parents)].mean() for v in (scaler.y_mean, scaler.y_scale))
    return scaler


def refuse_unlabelled(graph: Mapping[str, Sequence[str]] | None, table: Table) -> None:
    """Check that every task without labels can be predicted from its parents through the prior of the edge.

    Raises
    ------
    ValueError
        If one cannot; the message names it.
    """
    refuse_empty_parts(table, [p for p in table.parts if table.present[:, p.task].any()])
    is_labelled = np.asarray(table.present.any(axis=0))
    parents = order_graph(graph, table.names)
    for t in np.flatnonzero(is_labelled).tolist():
        if missing := [table.names[p] for p in parents[t] if not is_labelled[p]]:
            raise ValueError(
                f"task {missing[0]!r} has no labels, and {table.names[t]!r} follows it: only tasks that no labelled "
                "task follows may have none"
            )
    for t in np.flatnonzero(~is_labelled).tolist():
        likelihoods = {table.tasks[k].observes for k in (t, *parents[t])}
        if not parents[t] or len(likelihoods) > 1 or not isinstance(likelihoods.pop(), Gaussian):
            raise ValueError(
                f"task {table.names[t]!r} has no labels: drop the column, add at least one measurement, or give it "
                "parents in graph= from which it is predicted (all with Gaussian labels of one kind)"
            )


def parents_of(graph: Mapping[str, Sequence[str]] | None, table: Table) -> dict[int, tuple[int, ...]]:
    """The parents of each latent function, in an order with parents before children."""
    parts, parents = table.parts, {}
    for t, tasks_above in order_graph(graph, table.names).items():
        for part in (p for p in parts if p.task == t):
            sources = [parent_channels(parts, part, p)[0] for p in tasks_above]
            for i, c in enumerate(part.channels):
                same_size = [len(s.channels) == len(part.channels) for s in sources]
                parents[c] = tuple(
                    k
                    for s, same in zip(sources, same_size, strict=True)
                    for k in ((s.channels[i],) if same else s.channels)
                )
    return parents


def label_blocks(table: Table, scaler: Scaler, labels: Measured, device: torch.device) -> list[PartData]:
    """The scaled labels of each part, on a device."""
    blocks = []
    for part in table.parts:
        y, se2, high = (tensor(v, device) for v in scaler.block(labels, part, table.tasks[part.task]))
        blocks.append(PartData(part, y, high, se2))
    return blocks


def arrays_below(state: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """The arrays of a saved graph whose names have a prefix, by the rest of their names."""
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def tensors_below(state: Mapping[str, np.ndarray], prefix: str, device: torch.device) -> dict[str, Tensor]:
    """The same as tensors on a device."""
    return {k: tensor(v, device) for k, v in arrays_below(state, prefix).items()}

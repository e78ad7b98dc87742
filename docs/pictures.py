"""Draws the pictures of the README and of the priors, without any download: ``make pictures``."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.model_selection import KFold

import bayestl as btl
from bayestl.evaluation.simulated import drawn_table
from bayestl.report import plots
from bayestl.studies.demo import HARDNESS, VOLUME, sparse_volumes, volume_models
from bayestl.table.table import build_table

IMAGES = Path(__file__).parent / "images"


def readme() -> None:
    """Draw held-out volumes with and without the DFT volumes, and the correlation of properties of the elements."""
    data = btl.datasets.load_elements()
    tasks = [t for t in data.tasks if t.name in VOLUME]
    models = {name: volume_models(tasks)[name] for name in ("independent", "difference")}
    folds = KFold(5, shuffle=True, random_state=0)
    comparison = btl.compare(models, data.X, sparse_volumes(data), target=VOLUME[1], cv=folds, n_jobs=2)
    rows = data.Y[list(HARDNESS)].notna().any(axis=1)
    hardness = btl.MultiTaskGP(tasks=[t for t in data.tasks if t.name in HARDNESS])
    hardness.fit(data.X[rows], data.Y.loc[rows, list(HARDNESS)])

    figure = Figure(figsize=(11.2, 3.9), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=[1, 1, 1.25])
    for ax, name, title in (
        (left, "independent", "30 measured volumes alone"),
        (middle, "difference", "with DFT volumes"),
    ):
        plots.plot_parity(comparison, name, VOLUME[1], ax=ax)
        error = comparison.table["mae"].loc[(VOLUME[1], name), "mean"]
        ax.set_title("", loc="left")
        ax.set_title(f"{title}: error {error:.2f}", fontsize=10)
        ax.legend(frameon=False, fontsize=7.5, loc="upper left", handletextpad=0.1)
        ax.set_xlabel("measured volume, ln(cm³/mol)")
        ax.set_ylabel("predicted")
    plots.plot_task_correlation(hardness, ax=right)
    right.set_title("what properties of the elements share", fontsize=10)
    figure.savefig(IMAGES / "readme.png", dpi=130)


def priors() -> None:
    """Draw two tasks along one feature, three draws from the prior of each architecture."""
    x = np.linspace(-2, 2, 120)[:, None]
    table = build_table(x, pd.DataFrame(np.zeros((120, 2)), columns=["source", "target"]))
    models = {
        "IndependentGP": btl.IndependentGP(),
        "MultiTaskGP": btl.MultiTaskGP(),
        "DifferenceGP": btl.DifferenceGP(["source", "target"]),
        "LatentVariableGP": btl.LatentVariableGP(graph={"target": ["source"]}),
    }
    figure = Figure(figsize=(11.2, 5.6), layout="constrained")
    axes = figure.subplots(3, 4, sharex=True)
    for column, (name, model) in enumerate(models.items()):
        for row, seed in enumerate((1, 2, 3)):
            latent = drawn_table(model, table, seed)[0].latent[0]
            ax = axes[row, column]
            for task, colour in enumerate(plots.COLOURS[:2]):
                ax.plot(x, latent[:, task], color=colour, lw=1.3, label=table.names[task])
            ax.set_yticks([])
            ax.spines[["top", "right", "left"]].set_visible(False)
        axes[0, column].set_title(name, fontsize=10)
        axes[2, column].set_xlabel("a feature")
    axes[0, 0].legend(frameon=False, fontsize=8)
    figure.savefig(IMAGES / "priors.png", dpi=130)


if __name__ == "__main__":
    priors()
    readme()

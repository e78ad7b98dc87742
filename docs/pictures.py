"""Makes the picture of the README from the chemical elements, which are in the box: ``make pictures``."""

from pathlib import Path

from matplotlib.figure import Figure
from sklearn.model_selection import KFold

import bayestl as btl
from bayestl import plots
from bayestl.studies.demo import HARDNESS, VOLUME, sparse_volumes, volume_models


def main() -> None:
    """Held-out volumes with and without the DFT volumes, and what the properties of the elements share."""
    data = btl.datasets.load_elements()
    tasks = [t for t in data.tasks if t.name in VOLUME]
    models = {name: volume_models(tasks)[name] for name in ("independent", "difference")}
    folds = KFold(5, shuffle=True, random_state=0)
    comparison = btl.compare(models, data.X, sparse_volumes(data), target=VOLUME[1], cv=folds, n_jobs=2)
    rows = data.Y[list(HARDNESS)].notna().any(axis=1)
    hard = btl.MultiTaskGP(tasks=[t for t in data.tasks if t.name in HARDNESS])
    hard.fit(data.X[rows], data.Y.loc[rows, list(HARDNESS)])

    figure = Figure(figsize=(11.2, 3.9), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=[1, 1, 1.25])
    for ax, name, title in (
        (left, "independent", "30 measured volumes alone"),
        (middle, "difference", "with DFT volumes"),
    ):
        plots.plot_parity(comparison, name, VOLUME[1], ax=ax)
        error = comparison.table["mae"].loc[(VOLUME[1], name), "mean"]
        ax.set_title(f"{title}: error {error:.2f}", fontsize=10)
        ax.set_xlabel("measured volume, ln(cm³/mol)")
        ax.set_ylabel("predicted")
    plots.plot_task_correlation(hard, ax=right)
    right.set_title("what properties of the elements share", fontsize=10)
    figure.savefig(Path(__file__).parent / "images" / "readme.png", dpi=130)


if __name__ == "__main__":
    main()

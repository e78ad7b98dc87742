"""Everything that holds out labels equals a loop by hand of ``fit`` and ``log_density``."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.base import clone
from sklearn.model_selection import KFold, ShuffleSplit

import bayestl as btl
from bayestl import metrics
from bayestl.models import crossfit
from bayestl.streams import generator, small_seed, spawn
from laws.cells import FEW

SEED = 3
NAMES = ("multi-task", "chain", "low rank", "recalibrated by temperature", "latent, svi")
KINDS = (
    *FEW,
    "gaussian, std",
    "gaussian, groups",
    "positive, std",
    "power-normal, std",
    "censored, std",
    "hurdle, both, std",
)
COMPARED = pytest.mark.cells(
    lambda c: (
        (c.model_name == "multi-task" and c.kind_name in KINDS)
        or (c.model_name in NAMES and c.kind_name == "gaussian, std")
    )
)


def part(cell, rows):
    return cell.part(np.asarray(rows))


def fit(cell, rows, **other):
    return clone(cell.spec.make(cell.tasks)).fit(**part(cell, rows) | other)


def density(cell, model, rows, target, hide):
    """Log densities (n,) of the target's labels in some rows, with their standard errors; NaN where there is none."""
    held = part(cell, rows)
    given = cell.asked(held) | {"Y": held["Y"][[target]]}
    if "Y_std" in held:
        given["Y_std"] = held["Y_std"][[target]]
    if hide == "target":
        other = [name for name in held["Y"] if name != target]
        given["observed"] = held["Y"][other]
        if "Y_std" in held:
            given["observed_std"] = held["Y_std"][other]
    return model.log_density(**given)[target].to_numpy()


def split(cell, seed):
    return list(KFold(2, shuffle=True, random_state=small_seed(seed, "folds")).split(cell.train["X"]))


def seed_of(cell):
    """A seed of two folds that both have all classes, without which a loop by hand refuses the other half."""
    labels = cell.train["Y"]["target"]
    complete = [
        s for s in range(50) if all(set(labels.iloc[r].dropna()) == set(labels.dropna()) for r, _ in split(cell, s))
    ]
    return complete[0] if cell.kind.classes else SEED


@COMPARED
@pytest.mark.parametrize("hide", ["target", "row"])
def test_compare_is_a_loop_of_fits(cell, hide):
    train, splits = cell.train, split(cell, seed_of(cell))
    found = btl.compare(
        {"it": cell.spec.make(cell.tasks)}, **train, target="target", cv=splits, hide=hide, verbose=False
    )
    predictions = found.predictions.set_index(["fold", "row"])["log_density"]
    for fold, (rows, held) in enumerate(splits):
        expected = pd.Series(density(cell, fit(cell, rows), held, "target", hide), held).dropna()
        assert set(predictions[fold].index) == set(expected.index)
        np.testing.assert_allclose(predictions[fold].loc[expected.index], expected, rtol=1e-6, atol=1e-8)


@pytest.mark.cells(lambda c: c.model_name == "multi-task" and c.kind_name in ("gaussian", "hurdle, log-normal"))
def test_transfer_gain_is_a_difference_of_loops(cell):
    gain = btl.transfer_gain(
        cell.spec.make(cell.tasks), cell.train["X"], cell.train["Y"], "target", cv=split(cell, SEED), verbose=False
    )
    together, alone = [], []
    for rows, held in split(cell, SEED):
        together.append(density(cell, fit(cell, rows), held, "target", "target"))
        train, new = part(cell, rows), part(cell, held)
        single = btl.IndependentGP(cell.tasks, hyperparameters="map", n_starts=1, verbose=False)
        single.fit(train["X"], train["Y"][["target"]])
        alone.append(single.log_density(new["X"], new["Y"][["target"]])["target"].to_numpy())
    gained = np.concatenate(together) - np.concatenate(alone)
    gained = gained[~np.isnan(gained)]
    assert gain["n"] == len(gained)
    assert gain["difference"] == pytest.approx(gained.sum(), abs=1e-6)
    assert gain["se"] == pytest.approx(np.sqrt(len(gained)) * gained.std(ddof=1), rel=1e-6)


@pytest.mark.cells(lambda c: c.id in ("multi-task | gaussian", "difference | log-normal"))
def test_a_learning_curve_is_a_loop_of_fits(cell):
    X, Y = cell.train["X"], cell.train["Y"]
    curve = btl.learning_curve(
        {"it": cell.spec.make(cell.tasks)}, X, Y, "target", sizes=(4, 8), n_repeats=1, seed=5, verbose=False
    )
    labelled = np.flatnonzero(Y["target"].notna())
    ((kept, held),) = ShuffleSplit(1, test_size=0.2, random_state=small_seed(5, "splits")).split(labelled)
    order = labelled[generator(5, "order of labels").permutation(kept)]
    rows = np.setdiff1d(np.arange(len(Y)), labelled[held])
    for size in (4, 8):
        reduced = Y.copy()
        reduced.iloc[order[size:], 1] = np.nan
        model = cell.spec.make(cell.tasks).fit(X.iloc[rows], reduced.iloc[rows])
        expected = density(cell, model, labelled[held], "target", "target")
        assert curve.set_index("n").loc[size, "nlpd"] == pytest.approx(-expected.mean(), rel=1e-6)


@pytest.mark.cells(lambda c: c.model_name == "multi-task" and c.kind_name in (*KINDS, "student of 4"))
def test_held_out_folds_are_a_loop_of_fits(cell):
    """With the units of the whole table, which each fold of a recalibration keeps."""
    seed = seed_of(cell)
    found = crossfit.held_out_labels(cell.model, cv=2, seed=seed, verbose=False).set_index(["task", "row"])[
        "log_density"
    ]
    for rows, held in split(cell, seed):
        member = crossfit.refitted(cell.model, cell.model.table_.at(rows), cell.model.scaler_)
        for target in ("source", "target"):
            labelled = held[part(cell, held)["Y"][target].notna()]
            expected = density(cell, member, labelled, target, "target")
            np.testing.assert_allclose(found[target].loc[labelled], expected, rtol=1e-6, atol=1e-8)


@pytest.mark.cells(lambda c: c.id == "recalibrated by temperature | log-normal, std")
def test_a_recalibration_is_fitted_to_the_loop_of_held_out_labels(cell):
    model = cell.spec.make(cell.tasks).set_params(cv=2, random_state=3).fit(**cell.train)
    held = crossfit.held_out_labels(model.member_, 2, spawn(3, "held-out labels"), verbose=False)
    for name, warp in model.warps_.items():
        levels = held.loc[held["task"] == name, "pit"]
        assert warp.temperature == pytest.approx(np.sqrt((stats.norm.ppf(levels) ** 2).mean()))


@pytest.mark.cells(
    lambda c: c.id in ("multi-task, averaged | gaussian", "chain | gaussian, std", "difference | gaussian")
)
def test_a_refit_without_a_label_knows_the_other_labels_of_its_row(cell, monkeypatch):
    monkeypatch.setattr(crossfit, "REFIT_SENSITIVITY", -1.0)
    model, table = cell.model, cell.model.table_
    both = np.flatnonzero(table.present.all(axis=1))[:2]
    labels = model.leave_one_out()
    labels = labels[(labels["task"] == "target") & labels["row"].isin(both)].assign(sensitivity=1.0)
    refitted = crossfit.with_refits(model, labels).set_index("row")
    for row in both:
        hidden = np.zeros_like(table.present)
        hidden[row, 1] = True
        member = crossfit.refitted(
            model, replace(table, labels=table.labels.hidden(hidden)), model.scaler_, model.seed_
        )
        post = member.complete()
        expected = post.log_density(cell.train["Y"], cell.train.get("Y_std"))["target"].iloc[row]
        assert refitted.loc[row, "log_density"] == pytest.approx(expected, abs=1e-6)


LEFT_OUT = (
    "gaussian, std",
    "gaussian, groups",
    "student",
    "log-normal, std",
    "hurdle, log-normal",
    "categorical",
    "censored",
)


@pytest.mark.cells(lambda c: c.spec.exact and c.kind_name in LEFT_OUT and c.model_name != "independent")
def test_leave_one_out_is_a_fit_without_the_label(cell):
    """Two labels of the target refitted, in the units of the whole table."""
    model = cell.model
    plain = model.leave_one_out()
    chosen = plain.index[plain["task"] == "target"][[1, 4]]
    sensitivity = plain["sensitivity"].where(~plain.index.isin(chosen), 9.0).fillna(0.0)
    refitted = crossfit.with_refits(model, plain.assign(sensitivity=sensitivity))
    for i in chosen:
        row = int(plain["row"][i])
        Y = cell.train["Y"].copy()
        Y.iloc[row, 1] = None if Y["target"].dtype == object else np.nan
        without = fit(cell, np.arange(len(Y)), Y=Y)
        expected = density(cell, without, [row], "target", "target")[0]
        assert refitted["log_density"][i] == pytest.approx(expected, abs=0.15 + 0.1 * abs(expected))
        unchanged = plain.index.difference(chosen)
        np.testing.assert_array_equal(refitted["log_density"][unchanged], plain["log_density"][unchanged])


@pytest.mark.cells(
    lambda c: c.id in ("multi-task | gaussian, std", "difference | gaussian, groups", "independent | gaussian")
)
def test_leave_one_out_of_gaussian_labels_is_conditioning_on_the_others(cell):
    """At fixed hyperparameters: by dense algebra on the labels of each family."""
    model, loo = cell.model, cell.model.leave_one_out().set_index(["task", "row"])
    for family in model.families_:
        data = model._family_data(family)
        k = family.prior.covariance(data.points, data.points).detach().numpy()
        noise = family.prior.residual.variance().detach().numpy()[data.points.task] + data.se2.numpy()
        inverse = np.linalg.inv(k + np.diag(noise))
        z = data.y.numpy()
        mean, variance = z - inverse @ z / np.diag(inverse), 1 / np.diag(inverse)
        for i, (local, row) in enumerate(zip(data.points.task.tolist(), data.points.row.tolist(), strict=True)):
            t = family.parts[local].task
            scale, location = model.scaler_.y_scale[t], model.scaler_.y_mean[t]
            found = loo.loc[(model.table_.names[t], row)]
            assert found["mean"] == pytest.approx(location + scale * mean[i], rel=1e-6)
            assert found["std"] == pytest.approx(scale * np.sqrt(variance[i]), rel=1e-5)
            expected = stats.norm.logpdf(found["y"], location + scale * mean[i], scale * np.sqrt(variance[i]))
            assert found["log_density"] == pytest.approx(expected, abs=1e-5)
            level = stats.norm.cdf(found["y"], location + scale * mean[i], scale * np.sqrt(variance[i]))
            assert found["pit"] == pytest.approx(level, abs=1e-6)


def test_scores_are_those_of_the_predictions():
    """The scores of a comparison are those of its table of held-out predictions."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-2, 2, (30, 1))
    Y = pd.DataFrame({"y": np.sin(x[:, 0]) + 0.1 * rng.standard_normal(30)})
    model = btl.IndependentGP(hyperparameters="map", n_starts=1, verbose=False)
    found = btl.compare({"it": model}, x, Y, cv=2, verbose=False)
    for fold, rows in found.predictions.groupby("fold"):
        scores = found.scores.set_index("fold").loc[fold]
        assert scores["nlpd"] == pytest.approx(-rows["log_density"].mean())
        assert scores["mae"] == pytest.approx((rows["y"] - rows["median"]).abs().mean())
        assert scores["coverage"] == pytest.approx(
            metrics.coverage(*(rows[c].to_numpy() for c in ("y", "lower", "upper")))
        )

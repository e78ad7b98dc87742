"""What a model chooses by the size of a table is the same in every fold of it, and labels are counted by position."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import KFold

import bayestl as btl
from bayestl.models.base import BayesianModel
from bayestl.models.chain import forests
from bayestl.models.chain import model as chain
from bayestl.models.exact import hyperparameters
from bayestl.models.latent import model as latent

N, LEVELS = 40, ["source", "target"]
QUICK = {"n_starts": 1, "verbose": False}
MODELS = {
    "independent": btl.IndependentGP(**QUICK),
    "chain": btl.ChainGP(LEVELS, **QUICK),
    "latent": btl.LatentVariableGP(max_steps=30, n_inducing=8, n_draws=8, verbose=False),
}


@pytest.fixture(scope="module")
def table():
    """40 rows, of which 36 have a target and 18 of these no source; names are repeated."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.uniform(-1, 1, (N, 2)), columns=["p", "q"], index=[f"row {i % 7}" for i in range(N)])
    f = np.sin(3 * X["p"]) + 0.3 * X["q"]
    Y = pd.DataFrame({"source": f, "target": 1.2 * f + 0.4}, index=X.index) + 0.05 * rng.standard_normal((N, 2))
    Y.iloc[:18, 0] = np.nan
    Y.iloc[36:, 1] = np.nan
    return X, Y


@pytest.fixture
def near(monkeypatch):
    """Every threshold lies between the sizes of the table and of a fold of it; returns how each fit was made."""
    monkeypatch.setattr(hyperparameters, "SHORT_LABELS", 20)  # the source has 22 labels, the target 36
    monkeypatch.setattr(hyperparameters, "LAPLACE_LABELS", 34)
    monkeypatch.setattr(chain, "FOREST_LABELS", 34)
    monkeypatch.setattr(chain, "LEAST_WITHOUT", 17)
    monkeypatch.setattr(latent, "MCMC_ROWS", 37)
    monkeypatch.setattr(forests, "TREES", 3)
    monkeypatch.setattr(forests, "BOOSTS", 3)
    monkeypatch.setattr(hyperparameters, "AVERAGED", 6)
    fits = []
    become = BayesianModel._become

    def spy(self, table, scaler, learnt, seed):
        become(self, table, scaler, learnt, seed)
        fits.append((type(self).__name__, len(table.x), how(self)))

    monkeypatch.setattr(BayesianModel, "_become", spy)
    return fits


def how(model):
    """How a model was fitted."""
    if isinstance(model, btl.LatentVariableGP):
        return type(model.posterior_).__name__
    if not hasattr(model, "families_"):
        return None
    sets = [len(family.posterior.weights) for family in model.families_]
    modes = [
        hyperparameters.mode_for(model._mode(model.table_, f.parts), model._family_data(f)) for f in model.families_
    ]
    if not isinstance(model, btl.ChainGP):
        return sets, modes
    return sets, modes, [bool(i.forests) for i in model.inputs_.values()], model._stand_in(1)


EXPECTED = {
    "IndependentGP": ([6, 1], ["laplace", "map"]),
    "ChainGP": ([6, 1], ["laplace", "map"], [False, True], 0.5),
    "LatentVariableGP": "Guide",
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the chains have not converged")
def test_the_thresholds_are_between_a_fold_and_the_table(table, near):
    X, Y = table
    train, _ = next(iter(KFold(5, shuffle=True, random_state=0).split(X)))
    for model in MODELS.values():
        of_table, of_fold = clone(model).fit(X, Y), clone(model).fit(X.iloc[train], Y.iloc[train])
        assert how(of_table) == EXPECTED[type(model).__name__]
        assert how(of_fold) != how(of_table)


@pytest.mark.slow
def test_compare_fits_every_fold_as_the_table(table, near):
    found = btl.compare(MODELS, *table, target="target", cv=5, verbose=False)
    assert not found.failures
    assert len(near) == 5 * len(MODELS)
    assert {(name, str(fit)) for name, _, fit in near} == {(name, str(fit)) for name, fit in EXPECTED.items()}
    assert {n for _, n, _ in near} == {32}


def test_transfer_gain_fits_every_fold_as_the_table(table, near):
    btl.transfer_gain(MODELS["chain"], *table, "target", cv=4, verbose=False)
    assert [fit for name, _, fit in near if name == "ChainGP"] == [EXPECTED["ChainGP"]] * 4
    assert [fit for name, _, fit in near if name == "IndependentGP"] == [([1], ["map"])] * 4


@pytest.mark.slow
@pytest.mark.parametrize(
    "ensemble",
    [
        btl.StackedModel({k: MODELS[k] for k in ("independent", "chain", "latent")}, cv=3, verbose=False),
        btl.Recalibrated(MODELS["chain"], cv=3, verbose=False),
        btl.Recalibrated(MODELS["independent"], "conformal", verbose=False),
        btl.Recalibrated(btl.StackedModel({"chain": MODELS["chain"]}, cv=2, verbose=False), "conformal", verbose=False),
    ],
    ids=["stacked", "recalibrated", "conformal", "nested"],
)
def test_ensembles_fit_every_fold_as_the_table(table, near, ensemble, tmp_path):
    X, Y = table
    model = clone(ensemble).fit(X, Y)
    inner = [(name, n, fit) for name, n, fit in near if fit is not None]
    assert min(n for _, n, _ in inner) < N
    for name, _, fit in inner:
        assert fit == EXPECTED[name]
    model.save(tmp_path)
    loaded = btl.load(tmp_path)
    np.testing.assert_allclose(loaded.posterior(X).mean, model.posterior(X).mean, rtol=1e-6)
    near.clear()
    btl.compare({"": ensemble}, X, Y, target="target", cv=2, verbose=False)
    inner = [(name, fit) for name, _, fit in near if fit is not None]
    assert inner
    for name, fit in inner:
        assert fit == EXPECTED[name]


@pytest.mark.slow
def test_labels_held_out_of_a_fitted_model_are_predicted_by_fits_as_its_own(table, near):
    X, Y = table
    for name in ("chain", "latent"):
        clone(MODELS[name]).fit(X, Y).diagnose(transfer=False, cv=3)
    assert {n for _, n, _ in near} > {N}
    for name, _, fit in near:
        assert fit == EXPECTED[name]
    near.clear()
    model = clone(MODELS["independent"]).fit(X, Y)
    model.leave_one_out(refit=True)
    assert {str(fit) for _, _, fit in near} == {str(EXPECTED["IndependentGP"])}


def test_a_choice_for_each_task_may_be_asked_for(table):
    X, Y = table
    chosen = {"source": "short-mcmc", "target": "map"}
    model = btl.IndependentGP(hyperparameters=chosen, **QUICK).fit(X, Y)
    assert [len(f.posterior.weights) for f in model.families_] == [24, 1]
    tasks = [btl.Task("gap", btl.Hurdle())]
    gap = Y[["target"]].clip(lower=0).set_axis(["gap"], axis=1)
    of_parts = btl.IndependentGP(tasks, hyperparameters={"gap: nonzero": "map", "gap": "laplace"}, **QUICK).fit(X, gap)
    sets = {f.parts[0].role: len(f.posterior.weights) for f in of_parts.families_}
    assert sets["nonzero"] == 1
    assert sets[""] == 24
    for wrong, message in (
        (btl.IndependentGP(hyperparameters={"source": "map"}, **QUICK), r"hyperparameters= has no entry for 'target'"),
        (btl.IndependentGP(hyperparameters=dict.fromkeys(LEVELS, "nuts"), **QUICK), "hyperparameters must be one of"),
        (btl.ChainGP(LEVELS, inputs={"source": None}, **QUICK), r"inputs= has no entry for 'target'"),
        (btl.ChainGP(LEVELS, inputs=dict.fromkeys(LEVELS, "trees"), **QUICK), "inputs must be one of"),
        (btl.ChainGP(LEVELS, None, stand_in={}, **QUICK), r"stand_in= has no entry for 'target'"),
        (btl.ChainGP(LEVELS, None, stand_in={"target": 2.0}, **QUICK), "a weight from 0 to 1"),
    ):
        with pytest.raises(ValueError, match=message):
            wrong.fit(X, Y)


class Counts(btl.IndependentGP):
    """Keeps what it was fitted to and asked about."""

    seen: list = []  # noqa: RUF012

    def fit(self, X, Y, **kwargs):
        Counts.seen.append([X, Y, None])
        return super().fit(X, Y, **kwargs)

    def posterior(self, X, **kwargs):
        Counts.seen[-1][2] = X
        return super().posterior(X, **kwargs)


def test_learning_curves_count_labels_by_position(table):
    X, Y = table
    Counts.seen.clear()
    sizes = (5, 10, 20)
    curve = btl.learning_curve(
        {"m": Counts(hyperparameters="map", **QUICK)}, X, Y, "target", sizes, n_repeats=2, test_size=8, verbose=False
    )
    assert [int(labels["target"].notna().sum()) for _, labels, _ in Counts.seen] == [*sizes, *sizes]
    for rows, labels, asked in Counts.seen:
        assert len(rows) == N - 8
        assert len(asked) == 8
        assert labels["source"].notna().sum() >= 22 - 8  # of the other task all that are in training
    held_out = btl.compare({"m": Counts(hyperparameters="map", **QUICK)}, X, Y, "target", cv=2, verbose=False)
    assert len(curve) == len(sizes) * 2
    assert np.isfinite(curve["mae"]).all()
    assert held_out.predictions["y"].notna().all()

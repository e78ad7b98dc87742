"""Random numbers: one home, a name for each use, no global generator, and random states as in scikit-learn."""

import copy
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gpytorch
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from support.models import CHAIN_IS_SLOW, MODELS, quick

import bayestl as btl
from bayestl import streams
from bayestl.kernels.hyperpriors import draw_prior
from bayestl.models.crossfit import held_out_labels
from bayestl.streams import seed_of, small_seed, spawn, torch_generator

PACKAGE = Path(btl.__file__).parent
ELSEWHERE = {
    "streams.py": "the home",
    "studies/draws.py": "a published protocol",
    "studies/demo.py": "a published protocol",
    "studies/gap.py": "a published protocol",
    "small_tables/few_shots.py": "a published protocol",
    "small_tables/tables.py": "a published protocol",
    "studies/peers/learners.py": "a peer's own seed",
    "studies/peers/forests.py": "a peer's own seed",
    "studies/peers/multitask.py": "a peer's own seed",
    "active/acquisition/botorch_scores.py": "BoTorch draws from torch's global generator only",
    "chain/rows.py": "nodes of a quadrature",
    "likelihoods/classes.py": "nodes of a quadrature",
}
MAKES_GENERATORS = re.compile(
    r"default_rng\(|Generator\(\)|manual_seed\(|fork_rng\(|SeedSequence\(|np\.random\.\w+\((?<!Generator\()"
    r"|(Fold|Split)\(.*random_state=seed|random_state=self\.random_state|\bseed \+ "
)


def test_generators_are_made_in_one_place_only():
    found = {
        f"{path.relative_to(PACKAGE)}:{i}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if not str(path).endswith(tuple(ELSEWHERE))
        for i, line in enumerate(path.read_text().splitlines(), 1)
        if MAKES_GENERATORS.search(line) and ">>>" not in line
    }
    assert not found


def test_streams_repeat_and_differ_by_seed_name_and_number():
    cases = [(seed, name, k) for seed in (0, 1, 2**70) for name in ("a", "b") for k in (0, 1)]
    for make in (
        spawn,
        small_seed,
        lambda *case: float(streams.generator(*case).uniform()),
        lambda *case: float(torch.rand(1, generator=torch_generator(*case), dtype=torch.float64)),
    ):
        values = [make(*case) for case in cases]
        assert values == [make(*case) for case in cases]
        assert len(set(values)) == len(cases)
    assert all(0 <= small_seed(s, n, k) < 2**31 for s, n, k in cases)


# ------------------------------------------------------------------------------------------------ no global generator


@pytest.fixture(scope="module")
def small(two_tasks):
    X, Y = two_tasks
    return X.iloc[14:26], Y.iloc[14:26]


def numbers(name, X, Y):
    """What a fit and its predictions say."""
    model = quick(name).fit(X, Y)
    known = Y.assign(target=np.nan).to_numpy()
    post = model.posterior(X.to_numpy() + 0.1, observed=pd.DataFrame(known, columns=Y.columns))
    draws = post.sample(5, seed=1).to_numpy().ravel()
    effects = model.task_correlation().to_numpy().ravel()
    return np.concatenate([post.mean.to_numpy().ravel(), post.std.to_numpy().ravel(), draws, effects])


@pytest.fixture(scope="module")
def alone(small):
    """The numbers of every model, fitted one after another."""
    return {name: numbers(name, *small) for name in MODELS}


@pytest.mark.parametrize("name", CHAIN_IS_SLOW)
def test_a_fit_neither_reads_nor_moves_a_global_generator(small, alone, name):
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        before = torch.random.get_rng_state(), np.random.get_state()  # noqa: NPY002
        np.testing.assert_array_equal(numbers(name, *small), alone[name])
        after = torch.random.get_rng_state(), np.random.get_state()  # noqa: NPY002
        assert torch.equal(before[0], after[0])
        np.testing.assert_array_equal(before[1][1], after[1][1])
        assert before[1][2] == after[1][2]


def test_a_task_without_labels_is_drawn_from_the_prior_without_a_global_generator(small):
    X, Y = small
    model = quick("latent").fit(X, Y.assign(target=np.nan))
    torch.manual_seed(1)
    once, state = model.posterior(X).mean, torch.random.get_rng_state()
    torch.manual_seed(2)
    pd.testing.assert_frame_equal(model.posterior(X).mean, once)
    torch.manual_seed(1)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.slow
def test_fits_in_threads_agree_while_another_thread_draws_and_reseeds(small, alone):
    stop = threading.Event()

    def disturb():
        k = 0
        while not stop.is_set():
            torch.manual_seed(k % 7)
            torch.randn(50)
            k += 1

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(lambda name: numbers(name, *small), MODELS))
    finally:
        stop.set()
        thread.join()
    for name, found in zip(MODELS, together, strict=True):
        np.testing.assert_array_equal(found, alone[name], err_msg=name)


@pytest.mark.parametrize(
    ("prior", "middle"),
    [
        (gpytorch.priors.NormalPrior(2.0, 0.5), 2.0),
        (gpytorch.priors.LogNormalPrior(0.3, 1.0), np.exp(0.3)),
        (gpytorch.priors.HalfNormalPrior(2.0), 2.0 * 0.67449),
        (gpytorch.priors.HalfCauchyPrior(1.5), 1.5),
    ],
    ids=lambda v: type(v).__name__,
)
def test_draws_from_priors_are_theirs(prior, middle):
    draws = draw_prior(prior, (20_000,), torch_generator(0, "test"))
    assert draws.dtype == torch.float64
    assert bool(draws.isfinite().all())
    assert float(draws.median()) == pytest.approx(middle, rel=0.03)
    levels = prior.cdf(draws.to(prior.sample().dtype))
    assert float((levels - levels.mean()).square().mean()) == pytest.approx(1 / 12, rel=0.03)


def test_a_prior_that_cannot_be_drawn_says_what_to_do():
    with pytest.raises(ValueError, match=r"no draws from GammaPrior.*define icdf"):
        draw_prior(gpytorch.priors.GammaPrior(2.0, 1.0), (1,), torch_generator(0, "test"))


# ------------------------------------------------------------------------------------- random states as in scikit-learn


def test_a_random_state_stands_for_a_seed_as_in_scikit_learn():
    assert seed_of(3) == seed_of(np.int32(3)) == 3
    assert seed_of(None) != seed_of(None)
    for make in (np.random.RandomState, np.random.default_rng):
        drawn = [seed_of(generator) for generator in [make(0)] * 2]
        assert drawn[0] != drawn[1]
        assert drawn[0] == seed_of(make(0))
    for wrong in (-1, 0.5, "0", True, np.random):
        with pytest.raises(ValueError, match="random_state must be an integer from 0 on, None, or a RandomState"):
            seed_of(wrong)


def draws_of(model, X):
    """Numbers of a fitted model that depend on its seed."""
    return model.posterior(X).mean.to_numpy()


@pytest.mark.parametrize("name", ["multi-task", "latent", "subspace"])
def test_without_a_seed_each_fit_differs_and_its_predictions_repeat(small, name, tmp_path):
    X, Y = small
    model = quick(name).set_params(random_state=None)
    once = draws_of(model.fit(X, Y), X)
    for again in (model, copy.deepcopy(model)):
        np.testing.assert_array_equal(draws_of(again, X), once)
    model.save(tmp_path)
    loaded = btl.load(tmp_path)
    np.testing.assert_allclose(draws_of(loaded, X), once, rtol=1e-9)
    assert (model.random_state, loaded.random_state) == (None, None)
    assert loaded.seed_ == model.seed_
    pd.testing.assert_frame_equal(loaded.task_correlation(), model.task_correlation(), rtol=1e-6)
    same_seed = clone(model).set_params(random_state=model.seed_).fit(X, Y)
    np.testing.assert_array_equal(draws_of(same_seed, X), once)
    assert model.fit(X, Y).seed_ != loaded.seed_
    assert np.abs(draws_of(model, X) - once).max() > 0


@pytest.mark.parametrize("make", [np.random.RandomState, np.random.default_rng])
def test_a_generator_gives_one_seed_for_each_fit_and_stays_the_argument(small, make, tmp_path):
    X, Y = small
    generator = make(5)
    model = quick("subspace").set_params(random_state=generator)
    first = model.fit(X, Y).seed_
    assert first == seed_of(make(5))
    assert model.random_state is generator
    assert model.fit(X, Y).seed_ != first
    assert isinstance(clone(model).fit(X, Y).random_state, type(generator))
    model.save(tmp_path)
    loaded = btl.load(tmp_path)
    assert loaded.random_state == loaded.seed_ == model.seed_
    np.testing.assert_array_equal(draws_of(loaded.fit(X, Y), X), draws_of(model, X))


def test_ensembles_take_and_keep_random_states(small, tmp_path):
    X, Y = small
    models = {
        "a": btl.IndependentGP(hyperparameters="laplace", n_starts=1, random_state=None),
        "b": btl.MultiTaskGP(hyperparameters="laplace", n_starts=1, random_state=np.random.RandomState(1)),
    }
    for i, ensemble in enumerate(
        [
            btl.StackedModel(models, cv=2, random_state=np.random.default_rng(1), verbose=False),
            btl.Recalibrated(models["b"], "conformal", random_state=None, verbose=False),
        ]
    ):
        ensemble.fit(X, Y)
        ensemble.save(tmp_path / str(i))
        loaded = btl.load(tmp_path / str(i))
        for other in (loaded, copy.deepcopy(ensemble)):
            np.testing.assert_allclose(draws_of(other, X), draws_of(ensemble, X), rtol=1e-9)
            assert other.seed_ == ensemble.seed_
    assert isinstance(models["b"].random_state, np.random.RandomState)


def test_folds_of_a_model_without_a_seed_have_the_seed_of_its_fit(small, monkeypatch):
    X, Y = small
    model = quick("subspace").set_params(random_state=None).fit(X, Y)
    seeds = []
    learn = btl.LowRankLinear._learn
    monkeypatch.setattr(
        btl.LowRankLinear,
        "_learn",
        lambda self, table, scaler, seed: seeds.append(seed) or learn(self, table, scaler, seed),
    )
    held_out_labels(model, 3, verbose=False)
    assert seeds == [model.seed_] * 3

"""Draws of a latent graph: each keeps the noise of its own state, streams are independent, densities are exact."""

import copy
import dataclasses

import numpy as np
import pandas as pd
import torch

import bayestl as btl
from bayestl.models.latent.ancestral import AncestralLatent, GraphDraws, complete
from bayestl.models.latent.conditional import evidence, informed
from bayestl.models.latent.prior import PartData
from bayestl.streams import spawn

N = 12
X = np.random.default_rng(0).uniform(-1.5, 1.5, (N, 2))


def started(Y=None):
    """A graph b | a after one step of the optimiser."""
    a = np.sin(2 * X[:, 0])
    Y = pd.DataFrame({"a": a, "b": 1 + a}) if Y is None else Y
    return btl.LatentVariableGP({"b": ["a"]}, inference="svi", max_steps=1, verbose=False).fit(X, Y)


@dataclasses.dataclass
class TwoStates:
    """A posterior of two kinds of states: the latent values are high and the noise low, or the other way round."""

    graph: object

    def functions(self, n, seed):
        for high in (True, False) * (n // 2):
            graph = copy.deepcopy(self.graph).requires_grad_(False)
            for c, node in enumerate(graph.nodes):
                node.mean.fill_(0.0 if c else 3.0 if high else -3.0)
                node.raw_sigma.fill_(np.log(0.1 if high else 2.0))
                node.raw_amplitude.fill_(np.log(1e-3))
                node.raw_omega.fill_(np.log(0.3))
                if c:
                    node.rho.fill_(1.0)
            yield GraphDraws(graph, {c: torch.zeros(1, 1, len(graph.nodes[c].inducing)) + 0.0 for c in (0, 1)})


def known(graph, name, labels):
    """The labels (n,) of one task, NaN where there is none."""
    y = torch.as_tensor(labels, dtype=torch.float64)
    part = next(d.part for d in graph.data if d.part.names == (name,))
    return [PartData(part, y, y, torch.zeros_like(y))]


def test_draws_that_a_known_label_chooses_keep_their_own_noise():
    posterior = TwoStates(started().posterior_.graph.double())
    x = torch.from_numpy(X[:4])
    observed = known(posterior.graph, "b", [3.0, -3.0, np.nan, 3.0])
    latent = AncestralLatent(posterior, x, observed, 40, 0)
    part = posterior.graph.data[0].part  # the task without a known label
    values = latent.means[:, :, part.channels[0]]
    noise = latent.setting(part).noise_of_rows
    np.testing.assert_allclose(noise, np.where(values > 0, 0.1, 2.0) ** 2)
    assert ((values[:, [0, 3]] > 0).mean(axis=0) > 0.9).all()  # the other state has the weight 0.01
    assert (values[:, 2] > 0).mean() == 0.5
    (draws,) = (d for d in latent.sample(60, np.random.default_rng(0), True) if d.part == part)
    np.testing.assert_allclose(draws.setting.noise_of_rows, np.where(draws.f[:, :, 0] > 0, 0.1, 2.0) ** 2)


def test_a_label_of_another_row_does_not_change_the_interval():
    """The noise that the intervals contain is that of the chosen draws: none of the wide ones where the value is high."""
    posterior = TwoStates(started().posterior_.graph.double())
    latent = AncestralLatent(posterior, torch.from_numpy(X[:2]), known(posterior.graph, "b", [3.0, -3.0]), 40, 0)
    part = posterior.graph.data[0].part
    predictive = part.likelihood.predictive(latent.block(part), latent.setting(part))
    narrow, wide = (predictive.quantile(0.9) - predictive.quantile(0.1)) / 2.56
    assert narrow < 0.6
    assert wide > 1.9


def test_unlabelled_tasks_have_the_noise_of_their_prior_draw():
    Y = pd.DataFrame({"a": np.sin(2 * X[:, 0]), "b": np.full(N, np.nan)})
    guide = started(Y).posterior_
    (drawn,) = guide.draws(30, 0)
    z, noise = complete(drawn, torch.Generator().manual_seed(0))
    assert z[1].shape == (30, N)
    assert len(set(noise[1].tolist())) == 30
    assert len(set(noise[0].tolist())) == 1


def test_the_guide_and_the_latent_values_have_independent_random_numbers():
    guide = started().posterior_
    x = torch.from_numpy(X)
    latent = AncestralLatent(guide, x, None, 200, 0)
    (drawn,) = guide.functions(200, spawn(0, "functions"))
    (same_seed,) = guide.functions(200, 0)
    centre, root = guide.nodes[0].inducing()
    part = guide.graph.data[0].part
    e = (latent.sample(1, np.random.default_rng(0), True), latent)[1]
    standard = ((e._values - e._means) / np.sqrt(e._variances))[:, :, part.channels[0]].ravel()
    for draws in (drawn, same_seed):
        white = torch.linalg.solve_triangular(root, (draws.u[0][:, 0] - centre).T, upper=False).T.numpy().ravel()
        k = min(len(white), len(standard))
        assert abs(np.corrcoef(white[:k], standard[:k])[0, 1]) < 4 / np.sqrt(k)


def test_streams_repeat_and_differ():
    seeds = [spawn(seed, name, k) for seed in (0, 1) for name in ("chains", "draws") for k in (0, 1)]
    assert len(set(seeds)) == 8
    assert seeds[0] == spawn(0, "chains")
    numbers = np.array([np.random.default_rng(s).standard_normal(2000) for s in seeds])
    assert np.abs(np.corrcoef(numbers) - np.eye(8)).max() < 0.1


def batch(seed=0, r=3, n=5):
    """Covariances, own variances, precisions (one of them zero), residuals and coordinates of three points."""
    generator = torch.Generator().manual_seed(seed)
    normal = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    root = normal(r, n, n)
    precision = normal(r, n).exp()
    precision[:, 1] = 0.0
    residual = torch.where(precision > 0, normal(r, n), 0.0)
    return root @ root.mT, normal(r, n).exp(), precision, residual, normal(r, n)


def test_the_evidence_and_conditional_are_those_of_dense_algebra():
    covariance, own, precision, residual, e = batch()
    value, z, failed = informed(covariance, own, precision, residual, e)
    assert not failed.any()
    seen = [0, 2, 3, 4]
    for i in range(len(e)):
        s = covariance[i] + torch.diag(own[i])
        k = s[seen][:, seen] + torch.diag(1 / precision[i, seen])
        gain = torch.linalg.solve(k, s[seen]).T
        root = torch.linalg.cholesky(s - gain @ s[seen])
        torch.testing.assert_close(z[i], gain @ residual[i, seen] + root @ e[i])
        expected = -0.5 * residual[i, seen] @ torch.linalg.solve(k, residual[i, seen]) - 0.5 * torch.logdet(k)
        torch.testing.assert_close(value[i], expected)
        alone, _ = evidence(s[seen][:, seen][None], 1 / precision[i : i + 1, seen], residual[i : i + 1, seen])
        torch.testing.assert_close(alone[0], expected)


def test_the_written_derivatives_are_those_of_the_values():
    covariance, own, precision, residual, e = (v.requires_grad_(True) for v in batch(1, 2, 4))
    symmetric = lambda k: 0.5 * (k + k.mT)  # noqa: E731
    torch.autograd.gradcheck(
        lambda k, *rest: informed(symmetric(k), *rest)[:2], (covariance, own, precision + 0.1, residual, e)
    )
    torch.autograd.gradcheck(lambda k, *rest: evidence(symmetric(k), *rest)[0], (covariance, own, residual))


def test_a_covariance_without_a_factor_is_told():
    covariance, own, precision, residual, e = batch()
    covariance[1] = -torch.eye(5, dtype=torch.float64) * 1e3
    value, _, failed = informed(covariance, own, precision, residual, e)
    assert failed.tolist() == [False, True, False]
    assert torch.isfinite(value[[0, 2]]).all()


def test_student_noise_of_rows_agrees_with_noise_of_components():
    from bayestl.likelihoods import LatentBlock, Setting

    likelihood = btl.StudentT()
    block = LatentBlock(np.full(2, 0.5), np.zeros((2, 3, 1)), np.full((2, 3, 1, 1), 0.1))
    shared = Setting(np.array([0.2, 0.5]), np.array([[3.0], [8.0]]))
    further = np.repeat(shared.further[:, None], 3, axis=1)
    by_row = Setting(np.repeat(shared.noise[:, None], 3, axis=1), further)
    swapped = Setting(by_row.noise[[1, 0]], further[[1, 0]])
    mixed = Setting(
        np.stack([by_row.noise[:, 0], swapped.noise[:, 1], by_row.noise[:, 2]], axis=1),
        np.stack([further[:, 0], further[[1, 0], 1], further[:, 2]], axis=1),
    )
    q = [likelihood.predictive(block, s).quantile(0.9) for s in (shared, by_row, mixed)]
    np.testing.assert_allclose(q[0], q[1])
    np.testing.assert_allclose(q[0], q[2], rtol=0.01)  # the components of a row in another order

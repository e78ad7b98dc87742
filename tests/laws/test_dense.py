"""Exact models equal dense algebra written by hand, from the fitted prior's covariance: known labels, errors, groups, rows."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch

from bayestl.priors.processes import Points
from laws.cells import N_NEW

EXACT = pytest.mark.cells(lambda c: c.spec.exact and c.kind_name.startswith("gaussian"))


def codes_of_groups(cell):
    """A code of its own for each group of the whole table, -1 for none, in the order in which the model has them."""
    model, n = cell.model, len(cell.table["X"])
    if "groups" not in cell.table:
        return np.full(n, -1)
    known = {name: k for k, name in enumerate(model.table_.groups)}
    named = [g for g in dict.fromkeys(cell.table["groups"]) if g is not None]
    known |= {g: len(known) + i for i, g in enumerate(g for g in named if g not in known)}
    return np.array([-1 if g is None else known[g] for g in cell.table["groups"]])


def by_hand(cell, labelled, y, se, rows):
    """Means and covariances of the latent values of two tasks at ``rows``, in label units, from labels ``y`` (n, 2).

    ``labelled`` are the table's rows with labels ``y`` and standard errors ``se``; NaN where not known.
    """
    model = cell.model
    location, scale = model.scaler_.y_mean, model.scaler_.y_scale
    x = (cell.table["X"].to_numpy() - model.scaler_.x_mean) / model.scaler_.x_scale
    group = codes_of_groups(cell)
    mean, covariance = np.full((len(rows), 2), np.nan), np.zeros((len(rows), 2, 2))
    for family in model.families_:
        tasks = [p.task for p in family.parts]

        def points(positions, local):
            where = [torch.from_numpy(np.ascontiguousarray(v[positions])) for v in (x, group, np.arange(len(x)))]
            return Points(where[0], torch.full((len(positions),), local), where[1], where[2])

        pieces, values, noise = [], [], []
        variance = family.prior.residual.variance().detach().numpy()
        for local, t in enumerate(tasks):
            here = np.flatnonzero(~np.isnan(y[:, t]))
            pieces.append(points(np.asarray(labelled)[here], local))
            values.append((y[here, t] - location[t]) / scale[t])
            noise.append(variance[local] + (se[here, t] / scale[t]) ** 2)
        data = pieces[0] if len(pieces) == 1 else pieces[0].join(pieces[1])
        with torch.no_grad():
            k = family.prior.covariance(data, data._replace(x=data.x.clone())).numpy()
            asked = [points(np.asarray(rows), local) for local in range(len(tasks))]
            cross = [family.prior.covariance(a, data).numpy() for a in asked]
            own = [
                [np.diag(family.prior.covariance(a, b._replace(x=b.x.clone())).numpy()) for b in asked] for a in asked
            ]
        inverse = np.linalg.inv(k + np.diag(np.concatenate(noise)))
        for i, t in enumerate(tasks):
            mean[:, t] = location[t] + scale[t] * cross[i] @ inverse @ np.concatenate(values)
            for j, u in enumerate(tasks):
                reduction = np.einsum("ni,ij,nj->n", cross[i], inverse, cross[j])
                covariance[:, t, u] = scale[t] * scale[u] * (own[i][j] - reduction)
    return mean, covariance


def labels(cell, positions):
    """Labels and standard errors of some rows."""
    part = cell.part(positions)
    se = part["Y_std"].to_numpy() if "Y_std" in part else np.zeros((len(part["Y"]), 2))
    return part["Y"].to_numpy(dtype=float), np.where(np.isnan(part["Y"].to_numpy(dtype=float)), 0.0, se)


def agree(post, mean, covariance):
    np.testing.assert_allclose(post.mean, mean, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(post.std, np.sqrt(np.diagonal(covariance, axis1=1, axis2=2)), rtol=1e-5)
    for sign in (1.0, -1.0):
        total = post.apply(lambda y, sign=sign: y["target"] + sign * y["source"])
        variance = covariance[:, 0, 0] + covariance[:, 1, 1] + 2 * sign * covariance[:, 0, 1]
        np.testing.assert_allclose(total.std, np.sqrt(variance), rtol=1e-5)


@EXACT
def test_new_rows(cell):
    fitted, new = np.arange(cell.spec.rows), np.arange(cell.spec.rows, cell.spec.rows + N_NEW)
    expected = by_hand(cell, fitted, *labels(cell, fitted), new)
    agree(cell.model.posterior(**cell.asked(cell.new), noise=False), *expected)


@EXACT
def test_new_rows_whose_source_is_known(cell):
    fitted, new = np.arange(cell.spec.rows), np.arange(cell.spec.rows, cell.spec.rows + N_NEW)
    (y, se), (y_new, _) = labels(cell, fitted), labels(cell, new)
    y_new[:, 1] = np.nan
    errors = np.zeros_like(se[: len(new)])
    expected = by_hand(cell, [*fitted, *new], np.vstack([y, y_new]), np.vstack([se, errors]), new)
    given = cell.asked(cell.new) | {"observed": cell.new["Y"][["source"]]}
    agree(cell.model.posterior(**given, noise=False), *expected)


@EXACT
def test_new_rows_whose_source_is_known_with_an_error(cell):
    fitted, new = np.arange(cell.spec.rows), np.arange(cell.spec.rows, cell.spec.rows + N_NEW)
    (y, se), (y_new, _) = labels(cell, fitted), labels(cell, new)
    y_new[:, 1] = np.nan
    errors = np.full_like(y_new, 0.7)
    expected = by_hand(cell, [*fitted, *new], np.vstack([y, y_new]), np.vstack([se, errors]), new)
    given = cell.asked(cell.new) | {"observed": cell.new["Y"][["source"]]}
    given["observed_std"] = pd.DataFrame({"source": 0.7}, cell.new["Y"].index)
    agree(cell.model.posterior(**given, noise=False), *expected)


@EXACT
def test_the_fitted_rows_and_their_effects(cell):
    fitted = np.arange(cell.spec.rows)
    expected = by_hand(cell, fitted, *labels(cell, fitted), fitted)
    agree(cell.model.complete(noise=False), *expected)


@EXACT
def test_noise_is_added_to_what_is_new(cell):
    """The variance of a label is that of its latent value and the noise of its task."""
    given = cell.asked(cell.new)
    label, latent = (cell.model.posterior(**given, noise=noise).std.to_numpy() for noise in (True, False))
    noise = np.zeros(2)
    for family in cell.model.families_:
        variance = family.prior.residual.variance().detach().numpy()
        for local, part in enumerate(family.parts):
            noise[part.task] = variance[local] * cell.model.scaler_.y_scale[part.task] ** 2
    np.testing.assert_allclose(label**2, latent**2 + noise, rtol=1e-6)


@EXACT
def test_density_of_a_label_with_an_error(cell):
    """A label measured with error s has s^2 more variance."""
    given, Y = cell.asked(cell.new), cell.new["Y"]
    post, s = cell.model.posterior(**given), pd.DataFrame(0.9, Y.index, Y.columns)
    variance = post.std**2 + s**2
    expected = -0.5 * np.log(2 * np.pi * variance) - 0.5 * (Y - post.mean) ** 2 / variance
    pd.testing.assert_frame_equal(cell.model.log_density(**given, Y=Y, Y_std=s), expected, rtol=1e-6)


@EXACT
def test_more_information_never_widens_a_latent_value(cell):
    """At fixed hyperparameters: more known labels, of more tasks, with smaller errors."""
    given, Y = cell.asked(cell.new), cell.new["Y"]

    def std(observed, error=None):
        errors = {} if error is None else {"observed_std": pd.DataFrame(error, observed.index, observed.columns)}
        return cell.model.posterior(**given, observed=observed, **errors, noise=False).std.to_numpy()

    source = Y[["source"]]
    one = source.where(np.arange(len(source))[:, None] == 1)
    chain = [std(None), std(one), std(source), std(Y)]
    for less, more in pairwise(chain):
        assert (more <= less * (1 + 1e-7)).all()


@EXACT
def test_a_smaller_error_never_widens_a_latent_value(cell):
    given, source = cell.asked(cell.new), cell.new["Y"][["source"]]
    chain = [cell.model.posterior(**given, noise=False).std.to_numpy()]
    for error in (10.0, 1.0, 0.0):
        s = pd.DataFrame(error, source.index, source.columns)
        chain.append(cell.model.posterior(**given, observed=source, observed_std=s, noise=False).std.to_numpy())
        assert (chain[-1] <= chain[-2] * (1 + 1e-7)).all()

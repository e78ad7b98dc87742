"""Rows are matched by name, and their order, names and number change nothing else."""

import numpy as np
import pandas as pd
import pytest

from laws.cells import N_NEW


def answers(cell, post):
    """Numbers (n, k) of a posterior, row by row."""
    if cell.kind.classes:
        source = [post.probabilities("source")] if cell.kind.both else [post.mean["source"], post.std["source"]]
        return np.column_stack([*source, post.probabilities("target")])
    return np.column_stack([post.mean, post.std, post.quantile(0.1), post.quantile(0.8)])


def asked(cell, rows, known=True):
    part = cell.part(rows)
    return cell.asked(part) | ({"observed": part["Y"][["source"]]} if known else {})


def mixed(cell):
    """New rows and fitted ones."""
    return [*range(cell.spec.rows, cell.spec.rows + N_NEW), 2, 7, 11]


def reference(cell, known=True):
    rows = mixed(cell)
    return cell.once(("mixed", known), lambda: answers(cell, cell.model.posterior(**asked(cell, rows, known))))


def close(cell, a, b, **tolerance):
    near = cell.spec.rounding
    np.testing.assert_allclose(a, b, **{"rtol": near, "atol": near * np.abs(b).max()} | tolerance)


def test_the_order_of_new_rows_changes_nothing(cell):
    order = np.random.default_rng(0).permutation(len(mixed(cell)))
    rows = [mixed(cell)[i] for i in order]
    close(cell, answers(cell, cell.model.posterior(**asked(cell, rows))), reference(cell)[order])


def test_rows_one_by_one_are_the_rows_at_once(cell):
    for i in (0, N_NEW - 1, N_NEW):
        alone = answers(cell, cell.model.posterior(**asked(cell, [mixed(cell)[i]], known=False)))
        # where labels are truncated, a quadrature is as fine as the narrowest noise of its rows needs
        tolerance = {"rtol": 2e-5} if "positive" in cell.kind_name or "truncated" in cell.kind_name else {}
        close(cell, alone, reference(cell, known=False)[[i]], **tolerance)


def test_repeated_rows_are_predicted_alike(cell):
    rows = [*mixed(cell), mixed(cell)[0], mixed(cell)[0], mixed(cell)[-1]]
    found = answers(cell, cell.model.posterior(**asked(cell, rows, known=False)))
    close(cell, found[: len(mixed(cell))], reference(cell, known=False))
    again, expected = found[-3:], reference(cell, known=False)[[0, 0, -1]]
    if cell.spec.draws is None:
        close(cell, again, expected)
    else:  # a new row has random numbers of its own
        spread = np.abs(expected).max(axis=0) if cell.kind.classes else expected[:, [2, 3] * 4]
        assert (np.abs(again - expected) < 6 / np.sqrt(cell.spec.draws) * spread).all()
        if cell.kind.names != "repeated":  # a fitted row is recognised
            close(cell, again[-1], expected[-1])


def test_other_names_of_new_rows_change_nothing(cell):
    rows = slice(cell.spec.rows, None)
    given = asked(cell, rows)
    names = [f"other {i}" for i in range(N_NEW)]
    given |= {k: v.set_axis(names) for k, v in given.items() if isinstance(v, pd.DataFrame)}
    found = answers(cell, cell.model.posterior(**given))
    close(cell, found, answers(cell, cell.model.posterior(**asked(cell, rows))))


@pytest.mark.cells(lambda c: c.spec.refit(c.kind_name) and c.spec.draws is None and not c.spec.folds)
def test_order_and_names_of_fitted_rows_change_nothing(cell):
    """A fit to the same rows in another order, under other names (repeated ones stay repeated)."""
    order = np.random.default_rng(1).permutation(cell.spec.rows)
    other = {n: f"another {n}" for n in cell.table["X"].index}
    train = {k: v.rename(index=other) if isinstance(v, pd.DataFrame) else v for k, v in cell.part(order).items()}
    model = cell.fit(**train)
    given = asked(cell, mixed(cell))
    given |= {k: v.rename(index=other) for k, v in given.items() if isinstance(v, pd.DataFrame)}
    found = answers(cell, model.posterior(**given))
    if cell.kind.names == "counting":  # such names recognise no row: now they are names
        found, expected = found[:N_NEW], reference(cell)[:N_NEW]
    else:
        expected = reference(cell)
    close(cell, found, expected, rtol=2e-3, atol=2e-3 * np.abs(expected).max())


ONE_EACH = {"multi-task | gaussian, std", "multi-task | gaussian, groups", "chain | log-normal, std", "low rank | gaussian, std",
            "latent, svi | gaussian, std", "recalibrated by temperature | censored", "stack | gaussian"}  # fmt: skip
SOME = pytest.mark.cells(lambda c: c.id in ONE_EACH)


def misplaced(frame, how):
    if how == "shuffled":
        return frame.iloc[::-1]
    return frame.set_axis([f"no {i}" for i in range(len(frame))])


@SOME
@pytest.mark.parametrize("how", ["shuffled", "other names"])
def test_tables_whose_rows_do_not_match_are_refused(cell, how):
    new, model = cell.new, cell.model
    X, Y = new["X"], new["Y"]
    Y_std = pd.DataFrame(0.1, Y.index, Y.columns)
    observed = Y[["source"]]
    calls = {
        "observed": lambda: model.posterior(X, observed=misplaced(observed, how)),
        "observed_std": lambda: model.posterior(X, observed=observed, observed_std=misplaced(Y_std[["source"]], how)),
        "Y of log_density": lambda: model.log_density(X, misplaced(Y, how)),
        "Y_std of log_density": lambda: model.log_density(X, Y, Y_std=misplaced(Y_std, how)),
        "observed of log_density": lambda: model.log_density(X, Y, observed=misplaced(observed, how)),
        "observed of predict": lambda: model.predict(X, observed=misplaced(observed, how)),
        "y of score": lambda: model.score(X, misplaced(Y, how)),
    }
    train = cell.train
    calls |= {
        "Y of fit": lambda: cell.fit(Y=misplaced(train["Y"], how)),
        "Y_std of fit": lambda: cell.fit(Y_std=misplaced(pd.DataFrame(0.1, train["Y"].index, train["Y"].columns), how)),
    }
    if cell.kind.groups:
        calls["groups of posterior"] = lambda: model.posterior(X, groups=misplaced(pd.Series("lab 1", X.index), how))
        calls["groups of fit"] = lambda: cell.fit(groups=misplaced(pd.Series(train["groups"], train["X"].index), how))
    taken = []
    for what, call in calls.items():
        try:
            call()
            taken.append(what)
        except ValueError as error:
            if not any(word in str(error) for word in ("name", "index", "rows")):
                taken.append(f"{what}: {error}")
        except TypeError as error:
            taken.append(f"{what}: {error}")
    assert taken == []


@SOME
def test_tables_that_only_count_their_rows_are_taken_by_position(cell):
    given = asked(cell, slice(cell.spec.rows, None))
    named = answers(cell, cell.model.posterior(**given))
    given["observed"] = given["observed"].reset_index(drop=True)
    close(cell, answers(cell, cell.model.posterior(**given)), named)

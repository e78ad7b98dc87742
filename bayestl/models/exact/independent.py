"""One independent Gaussian process per task: the baseline that every gain of transfer is measured against.

f_t(x, g) = m_t + v_t(x) [+ c_{t,g}],   v_t ~ GP(0, kappa_t^2 k_t),   m_t ~ N(0, 1),   c_{t,g} ~ N(0, tau_t^2)
"""

from __future__ import annotations

from collections.abc import Sequence

from bayestl.models.exact.model import ExactModel
from bayestl.priors.prior import Prior
from bayestl.priors.task_specific import independent_prior
from bayestl.table.scaler import Scaler
from bayestl.table.table import Table
from bayestl.table.task import TaskPart


class IndependentGP(ExactModel):
    """One Gaussian process per task; tasks do not inform each other.

    Parameters
    ----------
    tasks : sequence of Task, optional
        The tasks whose likelihood, unit or cost differs from the default of their column.
    kernel : {"matern52", "matern32", "rbf", "exponential", "rational-quadratic"} or Covariance
        Covariance over the features, with one length scale per feature; or a sum or product of
        :class:`~bayestl.kernels.combined.Kernel` over named blocks of features.
    hyperparameters : {"auto", "map", "laplace", "short-mcmc", "mcmc"} or mapping
        Fixed at their posterior maximum ("map"), or averaged over a Laplace approximation, over short chains or over long
        tempered chains (seconds to a minute); "auto" is "short-mcmc" up to 250 Gaussian labels, "laplace" up to 2000 (400
        where labels are not Gaussian), else "map".  A mapping names one of them for each task, or for the latent functions that ``task_correlation`` lists.
    n_starts : int
        Number of starts of the optimiser.
    random_state : int, RandomState, Generator or None
        Seed of the fit, which repeats exactly.  None: another one for each fit; a generator of NumPy: one is drawn from it.
        The fitted model keeps it as ``seed_``, and its predictions repeat.
    verbose : bool
        Whether to show progress on a terminal.
    device : str
        Where the model computes: ``"cpu"``, ``"cuda"`` or ``"cuda:1"`` (a graphics card), or ``"auto"``: a card where there is
        one and the table has 1000 labels or more.  A saved model keeps none; :func:`bayestl.load` has its own ``device=``.

    Examples
    --------
    >>> import numpy as np, bayestl as btl
    >>> x = np.linspace(0, 1, 20)[:, None]
    >>> model = btl.IndependentGP().fit(x, np.sin(4 * x[:, 0]))
    >>> round(float(model.predict([[0.5]])[0]), 2)
    0.91
    """

    def _families(self, table: Table) -> list[tuple[TaskPart, ...]]:
        return [(part,) for part in table.parts]

    def _prior(self, table: Table, scaler: Scaler, parts: tuple[TaskPart, ...], columns: Sequence[str]) -> Prior:
        return independent_prior(parts, table.group is not None, lambda: self._smooth(columns))

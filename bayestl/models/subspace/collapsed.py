"""Hamiltonian steps for the shared quantities of the low-rank model, with coefficients and means of tasks integrated out.

Given coefficients the directions are all but fixed where the noise is small, and the other way round; so a chain that draws
them in turn stays where it began.  Here they move while all coefficients follow.  The gradient is that of the joint density
averaged over the coefficients (Fisher's identity).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ON_SHAPE, ON_SCALE = 2.0, 1.0
"""Inverse-gamma prior of the variance of the coefficients on a direction, scaled units."""
NOISE_SHAPE = 3.0
"""Inverse-gamma prior of a task's noise variance; its scale is shared."""
NOISE_RATE = 2.0
"""Rate of the unit-shape gamma prior of that scale: prior mean of a noise variance 0.25."""
LOG_SCALE = 1.0
"""Standard deviation of the logarithm of a task's scale: a few labels do not tell how large a function is elsewhere."""
LEAST_NOISE = 1e-8
"""Least noise variance: for labels without noise it would go to zero."""
LEAPS, FIRST_STEP, ACCEPTED = 8, 0.3, 0.8
"""Steps of a trajectory, their first length relative to the scales of the posterior, and the acceptance that is aimed at."""


@dataclass(frozen=True)
class Shared:
    """What the tasks share, and their noise and scales.

    Attributes
    ----------
    u : ndarray, shape (d, r)
        Directions.
    theta : ndarray, shape (r,)
        Logarithms of the variances of coefficients on them.
    noise : ndarray, shape (T,)
        Logarithms of the noise variances, less ``level``.
    level : ndarray, shape ()
        Logarithm of the scale of noise variances.
    scale : ndarray, shape (T,)
        Logarithms of the scales of tasks.
    """

    u: np.ndarray
    theta: np.ndarray
    noise: np.ndarray
    level: np.ndarray
    scale: np.ndarray

    @property
    def parts(self) -> tuple[np.ndarray, ...]:
        """All of them."""
        return self.u, self.theta, self.noise, self.level, self.scale


class Labels:
    """The labels of a table in scaled units, and their density.

    Parameters
    ----------
    x : ndarray, shape (n, d)
        Features.
    y : ndarray, shape (n, T)
        Labels, NaN where there is none.
    se2 : ndarray, shape (n, T)
        Known variances of the labels.
    """

    def __init__(self, x: np.ndarray, y: np.ndarray, se2: np.ndarray) -> None:
        self.x = x
        self.present = ~np.isnan(y)
        self.y = np.where(self.present, y, 0.0)
        self.se2 = np.where(self.present, se2, 0.0)
        self.counts = self.present.sum(axis=0)

    def scaled(self, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Labels and their known variances in units of the tasks' scales, whose logarithms are given."""
        return self.y * np.exp(-scale), self.se2 * np.exp(-2.0 * scale)

    def design(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The regressors ``[x' u, 1]`` (n, m), and their products of two (n, m m)."""
        z = np.column_stack([self.x @ u, np.ones(len(self.x))])
        return z, (z[:, :, None] * z[:, None, :]).reshape(len(z), -1)

    def density(self, at: Shared) -> tuple[float, Shared]:
        """Log density of all labels and of ``at`` under its prior, up to a constant, and its gradient."""
        n, d = self.x.shape
        n_tasks, r = len(self.counts), len(at.theta)
        theta, noise, shared = np.exp(at.theta), np.exp(at.level + at.noise), np.exp(at.level)
        y, se2 = self.scaled(at.scale)
        weight = self.present / (noise + se2)
        z, zz = self.design(at.u)
        gram, pull = (weight.T @ zz).reshape(n_tasks, r + 1, r + 1), (weight * y).T @ z

        # coefficients and means: their posterior, normal with these moments
        sd = np.sqrt(np.append(theta, 1.0))
        whitened = np.eye(r + 1) + sd[:, None] * gram * sd
        covariance = sd[:, None] * np.linalg.inv(whitened) * sd
        mean = (covariance @ pull[..., None])[..., 0]
        log_det = np.linalg.slogdet(whitened)[1].sum()
        value = 0.5 * ((pull * mean).sum() - (weight * y**2).sum() - log_det)
        value -= 0.5 * (self.present * np.log(noise + se2)).sum() + (self.counts * at.scale).sum()
        value -= 0.5 * d * (at.u**2).sum() + (ON_SHAPE * at.theta + ON_SCALE / theta).sum()
        value -= (NOISE_SHAPE * at.noise + np.exp(-at.noise)).sum() + 0.5 * ((at.scale / LOG_SCALE) ** 2).sum()
        value += at.level - NOISE_RATE * shared

        flat = covariance.reshape(n_tasks, -1)
        error = y - z @ mean.T
        spread = (z[:, None, :] @ (weight @ flat).reshape(n, r + 1, r + 1))[:, 0, :r]
        squares = (mean[:, :r] ** 2 + np.diagonal(covariance, axis1=1, axis2=2)[:, :r]).sum(axis=0)
        slope = weight**2 * (error**2 + zz @ flat.T) - weight  # twice that by the variance of each label
        by_noise = 0.5 * noise * slope.sum(axis=0)
        return float(value), Shared(
            u=self.x.T @ ((weight * error) @ mean[:, :r] - spread) - d * at.u,
            theta=0.5 * (squares / theta - n_tasks) - ON_SHAPE + ON_SCALE / theta,
            noise=by_noise - NOISE_SHAPE + np.exp(-at.noise),
            level=np.asarray(by_noise.sum() + 1.0 - NOISE_RATE * shared),
            scale=(weight * error * y - se2 * slope).sum(axis=0) - self.counts - at.scale / LOG_SCALE**2,
        )


class Steps:
    """Hamiltonian steps, whose length and masses adapt while ``adapt`` is true.

    Parameters
    ----------
    labels : Labels
        The labels.
    generator : numpy.random.Generator
        Source of random numbers.

    Notes
    -----
    The mass of a direction in each feature is the mean square of its gradient so far, which is the information about it.
    """

    def __init__(self, labels: Labels, generator: np.random.Generator) -> None:
        self.labels, self.generator = labels, generator
        self.log_step = np.log(FIRST_STEP)
        self.information = np.full(labels.x.shape[1], 10.0 * labels.x.shape[1])
        self.n = 0

    def __call__(self, at: Shared, adapt: bool) -> Shared:
        """The next state."""
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            new, chance, gradient = self._trajectory(at)
        if adapt:
            self.n += 1
            self.log_step += 3.0 * (chance - ACCEPTED) / (self.n + 10.0) ** 0.6
            if at.u.size:
                seen = (gradient.u**2).mean(axis=1)
                self.information += (np.maximum(seen, self.labels.x.shape[1]) - self.information) / min(self.n, 100)
        return new if self.generator.uniform() < chance else at

    def _masses(self, at: Shared) -> tuple[np.ndarray, ...]:
        n_tasks, counts = len(self.labels.counts), self.labels.counts
        return (
            np.broadcast_to(self.information[:, None], at.u.shape),
            np.full(len(at.theta), ON_SHAPE + 0.5 * n_tasks),
            NOISE_SHAPE + 0.5 * counts,
            np.asarray(1.0 + 0.5 * counts.sum()),
            LOG_SCALE**-2 + 0.5 * counts,
        )

    def _trajectory(self, at: Shared) -> tuple[Shared, float, Shared]:
        """The end of a trajectory, the chance that it is accepted, and the gradient at the start."""
        masses = self._masses(at)
        step = np.exp(self.log_step) * self.generator.uniform(0.7, 1.3)
        speed = [self.generator.standard_normal(m.shape) / np.sqrt(m) for m in masses]
        value, gradient = first = self.labels.density(at)
        energy = value - _kinetic(speed, masses)
        new = at
        for _ in range(LEAPS):
            speed = _pushed(speed, gradient, masses, 0.5 * step)
            new = Shared(*(q + step * v for q, v in zip(new.parts, speed, strict=True)))
            if not _possible(new):
                return at, 0.0, first[1]
            value, gradient = self.labels.density(new)
            speed = _pushed(speed, gradient, masses, 0.5 * step)
        gain = value - _kinetic(speed, masses) - energy
        return new, float(np.exp(min(gain, 0.0))) if np.isfinite(gain) else 0.0, first[1]


def _kinetic(speed: list[np.ndarray], masses: tuple[np.ndarray, ...]) -> float:
    return 0.5 * sum(float((m * v**2).sum()) for v, m in zip(speed, masses, strict=True))


def _pushed(speed: list[np.ndarray], gradient: Shared, masses: tuple[np.ndarray, ...], step: float) -> list[np.ndarray]:
    return [v + step * g / m for v, g, m in zip(speed, gradient.parts, masses, strict=True)]


def _possible(at: Shared) -> bool:
    """Whether the state is finite and no noise is below the least."""
    noise = at.level + at.noise
    logs = np.concatenate([noise, at.theta, at.scale])
    return bool(np.isfinite(at.u).all() and (np.abs(logs) < 50.0).all() and (noise > np.log(LEAST_NOISE)).all())

"""One CMA-ES of pycma on some coordinates: its stream, its options, why it stops."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from evobourse.evolve.errors import EvolveError
from evobourse.evolve.rounding import decompose, proposed

Vector = NDArray[np.float64]

_REASONS = {
    "tolx": "the steps have become too small to matter",
    "tolfun": "the scores no longer differ",
    "tolfunhist": "the best scores no longer differ",
    "tolfunrel": "the scores no longer differ",
    "tolflatfitness": "the scores are flat",
    "tolstagnation": "the scores have stagnated",
    "tolxstagnation": "the mean has stagnated",
    "tolupsigma": "the step size has diverged",
    "tolconditioncov": "the covariance has become ill-conditioned",
    "noeffectaxis": "a step along an axis no longer changes the mean",
    "noeffectcoord": "a step along a coordinate no longer changes the mean",
}


class Strategy:
    """A CMA-ES on some coordinates, or a fixed point when it has one proposal or no coordinate.

    It draws from its own stream, leaves numpy's global one alone, and pickles with it
    (Hansen, 2016, arXiv 1604.00772; pycma).

    Parameters
    ----------
    name : str
        For messages.
    where : int64[d]
        Its coordinates among those of `start`.
    start : float64[size]
        First mean.
    count : int
        Proposals, at least 1; a count of 1 learns nothing.
    sigma : float
        First step size.
    seed : numpy.random.SeedSequence
    diagonal_above : int
        Above this many dimensions the covariance stays diagonal.
    scales : float64[d], optional
        Factors on the first step size, one a coordinate.
    """

    _guest: Vector | None = None

    def __init__(
        self,
        name: str,
        where: NDArray[np.int64],
        start: Vector,
        count: int,
        sigma: float,
        seed: np.random.SeedSequence,
        diagonal_above: int,
        scales: Vector | None = None,
    ) -> None:
        if count < 1 or sigma <= 0:
            raise EvolveError(
                f"'{name}' has {count} proposals and step size {sigma}; use at least 1 and above 0"
            )
        if count > 1 and not len(where):
            raise EvolveError(f"{count} proposals for a half without segments; use a count of 1")
        self.name = name
        self.where = where
        self.reasons: list[str] = []
        self._start = start[where]
        self._sigma = float(sigma)
        self._cma: Any = None
        if count > 1:
            import cma  # a second, and matplotlib: only for who searches

            self._cma = cma.CMAEvolutionStrategy(
                self._start,
                self._sigma,
                {
                    "popsize": count,
                    "CMA_diagonal": len(where) > diagonal_above,
                    "CMA_stds": scales,
                    # pycma refuses two proposals without a mirror; ask() never makes one.
                    "CMA_mirrors": 1 if count == 2 else 0,
                    "CMA_eigenmethod": decompose,
                    "randn": Normals(seed),
                    "seed": np.nan,  # "do nothing": leaves numpy's global stream alone
                    "maxiter": np.inf,  # the loop counts generations
                    "signals_filename": "",  # reads no file of the working directory
                    "verbose": -9,
                    "verb_log": 0,
                },
            )

    @property
    def learns(self) -> bool:
        """Whether there is anything to learn, and anything to learn from."""
        return self._cma is not None

    @property
    def mean(self) -> Vector:
        """Where it believes the best to be, float64[d]."""
        return np.array(self._cma.mean) if self.learns else self._start

    @property
    def sigma(self) -> float:
        """The step size."""
        return float(self._cma.sigma) if self.learns else self._sigma

    def proposed(self, rows: Vector) -> Vector:
        """Round coordinates to what is evaluated; the strategy learns from what it drew itself.

        The start stays as it is: its minds have been asked for others than this search too.
        """
        begun = (rows == self._start).all(axis=-1, keepdims=True)
        return np.where(begun, rows, proposed(rows))

    def scale_sigma(self, factor: float) -> None:
        """Multiply the step size."""
        self._cma.sigma *= factor

    def ask(self) -> Vector:
        """Draw float64[count, d]."""
        if not self.learns:
            return self._start[None, :]
        if self._guest is not None:  # kept until now: pycma refuses to be told with one waiting
            self._cma.inject([self._guest], force=True)
            self._guest = None
        return np.array(self._cma.ask())

    def inject(self, row: Vector) -> None:
        """Have float64[d] as the first that it asks for next; a fixed point takes nothing."""
        self._guest = row

    def tell(self, rows: Vector, marginals: Vector) -> Vector:
        """Learn from marginals, float64[count]; return recombination weights, float64[count]."""
        if not self.learns:
            return np.ones(1)
        self._cma.tell(list(rows), marginals.tolist())
        # Asked once a generation and kept, since pycma's answer has side effects.
        self.reasons = [_REASONS.get(key, key) for key in self._cma.stop()]
        weights = np.zeros(len(rows))
        # pycma's own order, so that ties fall here as they fell in its update.
        positive = np.asarray(self._cma.sp.weights.positive_weights)
        weights[np.asarray(self._cma.fit.idx)[: len(positive)]] = positive / positive.sum()
        return weights


class Normals:
    """A stream of standard normals with the signature of `numpy.random.randn`; pickles.

    Parameters
    ----------
    seed : numpy.random.SeedSequence
    """

    def __init__(self, seed: np.random.SeedSequence) -> None:
        self._generator = np.random.Generator(np.random.PCG64(seed))

    def __call__(self, *shape: int) -> Any:
        """Draw an array of a shape, or one number."""
        return self._generator.standard_normal(shape or None)

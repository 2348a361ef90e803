"""Path signatures, and how far a set of simulated paths is from real windows in them.

No search optimises this.

References
----------
Chevyrev and Kormilitzin (2016), A primer on the signature method in machine learning, arXiv
1603.03788. Chevyrev and Oberhauser (2022), Signature moments to characterize laws of stochastic
processes, Journal of Machine Learning Research 23(176). Gretton, Borgwardt, Rasch, Schoelkopf and
Smola (2012), A kernel two-sample test, Journal of Machine Learning Research 13, 723-773.
"""

from dataclasses import dataclass
from math import factorial

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist, pdist

from evobourse.fitness.moments import FloatArray, on_sound_paths

LEVELS = 4
"""Iterated integrals of up to four coordinates: 2 + 4 + 8 + 16 words of time and log price."""

RESAMPLES = 500
_CONSTANT = 1e-9


def signature(steps: npt.ArrayLike, levels: int = LEVELS) -> FloatArray:
    """Compute the truncated signature of piecewise linear paths, exactly.

    Parameters
    ----------
    steps : array_like, shape [..., T, d]
        Increments of the path.
    levels : int
        Longest word, 1 or more.

    Returns
    -------
    float64 array, shape [..., d + d**2 + ... + d**levels]
        ``S[w] = integral over t1 < ... < tk of dX[w1](t1) ... dX[wk](tk)`` for all words w of
        length 1, then 2 and so on, each in lexicographic order. By Chen's identity a step with
        increment x multiplies the signature so far by ``exp(x)``, the sum of ``x^{(x)k} / k!``.
    """
    x = np.asarray(steps, dtype=np.float64)
    powers = [x]
    for k in range(2, levels + 1):
        powers.append(_tensor(powers[-1], x) / k)  # x^{(x)k} / k!
    before: list[FloatArray] = []
    whole = []
    for k in range(1, levels + 1):
        gained = powers[k - 1].copy()
        for j, earlier in enumerate(before, start=1):
            gained += _tensor(earlier, powers[k - j - 1])
        so_far = gained.cumsum(axis=-2)
        whole.append(so_far[..., -1, :])
        before.append(so_far - gained)
    return np.concatenate(whole, axis=-1)


def price_signature(log_returns: npt.ArrayLike) -> FloatArray:
    """Signature of (time, log price), each on a random walk's own scale.

    Parameters
    ----------
    log_returns : array_like, shape [..., T]
        Daily log returns. Time runs from 0 to 1, and a return counts in units of
        ``std * sqrt(T)``: neither volatility nor the number of days matters, drift does.

    Returns
    -------
    float64 array, shape [..., 30]
        Words of length k times k!, so that no level fades; NaN for a degenerate path.
    """
    scale = np.repeat([float(factorial(k)) for k in range(1, LEVELS + 1)], _WORDS)

    def of_sound(returns: FloatArray) -> FloatArray:
        days = returns.shape[-1]
        price = returns / (returns.std(axis=-1, keepdims=True) * np.sqrt(days))
        steps = np.stack([np.full(price.shape, 1.0 / days), price], axis=-1)
        return np.asarray(signature(steps) * scale)

    return on_sound_paths(of_sound, log_returns, (len(scale),))


@dataclass(frozen=True, eq=False)
class Discrepancy:
    """Maximum mean discrepancy of a set of paths from the real windows.

    Parameters
    ----------
    value : float
        0 where both sets have the same signatures on average in the kernel's space, 1.41 at
        most; NaN without a sound path or two different real windows.
    real : float64 array, shape [resamples], ascending
        The same of as many real windows, drawn with replacement.
    """

    value: float
    real: FloatArray


def signature_mmd(
    simulated: npt.ArrayLike,
    real: npt.ArrayLike,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> Discrepancy:
    """Hold the signatures of a set of paths against those of real windows.

    Parameters
    ----------
    simulated, real : array_like, shapes [S, 30] and [R, 30]
        From `price_signature`; rows with NaN are left out.
    rng : numpy.random.Generator
        Source of the draws of real windows.
    resamples : int
        How many sets of real windows to draw.

    Returns
    -------
    Discrepancy
        Of a Gaussian kernel on the words that vary, each standardised by the real windows' mean
        and deviation, its width the median distance between two different real windows.
    """
    found, windows = (x[np.isfinite(x).all(axis=1)] for x in map(np.atleast_2d, (simulated, real)))
    spread = windows.std(axis=0) if len(windows) else np.zeros(windows.shape[1])
    varies = spread > _CONSTANT
    if not len(found) or not varies.any():
        return Discrepancy(float("nan"), np.full(resamples, np.nan))
    centre = windows.mean(axis=0)
    found, windows = ((x - centre)[:, varies] / spread[varies] for x in (found, windows))
    apart = pdist(windows)
    width = float(np.median(apart[apart > 0.0]))

    def kernel(a: FloatArray, b: FloatArray) -> FloatArray:
        return np.asarray(np.exp(-cdist(a, b, "sqeuclidean") / (2.0 * width**2)))

    among_real = kernel(windows, windows)
    of_real, all_real = among_real.mean(axis=1), float(among_real.mean())
    squared = kernel(found, found).mean() - 2.0 * kernel(found, windows).mean() + all_real
    drawn = rng.integers(len(windows), size=(resamples, len(found)))
    share = np.apply_along_axis(np.bincount, 1, drawn, None, len(windows)) / len(found)
    null = ((share @ among_real) * share).sum(axis=1) - 2.0 * share @ of_real + all_real
    return Discrepancy(_root(squared), np.sort(np.sqrt(np.maximum(null, 0.0))))


_WORDS = [2**k for k in range(1, LEVELS + 1)]


def _root(squared: float) -> float:
    return float(np.sqrt(max(squared, 0.0)))


def _tensor(a: FloatArray, b: FloatArray) -> FloatArray:
    """Outer product along the last axis: [..., m], [..., n] -> [..., m n]."""
    return np.asarray((a[..., :, None] * b[..., None, :]).reshape(*a.shape[:-1], -1))

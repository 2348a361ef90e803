"""Three-day forecasts as distributions, a simulated market's among them, and their proper score.

References
----------
Gneiting and Raftery (2007), Strictly proper scoring rules, prediction, and estimation, Journal of
the American Statistical Association 102(477), 359-378, doi:10.1198/016214506000001437: the
continuous ranked probability score (CRPS), of a normal distribution in closed form. Ferro (2014),
Fair scores for ensemble forecasts, Quarterly Journal of the Royal Meteorological Society 140,
1917-1923, doi:10.1002/qj.2270: that of a finite ensemble, without the bias of its size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from evobourse.agents.crowds.persona_crowd import history_ticks
from evobourse.evolve.bundle import Bundle
from evobourse.evolve.markets import World, play_market
from evobourse.fitness.baselines.without_agents import garch_t_history
from evobourse.fitness.comparisons import diebold_mariano, holm
from evobourse.fitness.forecasts import HORIZON_DAYS, NAIVE, SIGNIFICANT
from evobourse.market.series.prices import PriceSeries

FloatArray = NDArray[np.float64]

PAST_DAYS = 250
"""Days whose deviation is the spread of forecasters that have none of their own."""


@dataclass(frozen=True, eq=False)
class Losses:
    """What a forecaster lost at each origin.

    Attributes
    ----------
    squared
        Mean squared error of the three days, float64[O].
    crps
        Mean CRPS of the three days, in log returns, float64[O].
    """

    squared: FloatArray
    crps: FloatArray


@dataclass(frozen=True)
class Verdict:
    """A forecaster beside the naive one on one series, by one score.

    Attributes
    ----------
    ratio
        Its mean loss over the naive one's; under 1 is better.
    p_value, p_adjusted
        Of the Diebold-Mariano test, two-sided; after Holm's correction for all that were made.
    """

    ratio: float
    p_value: float
    p_adjusted: float

    @property
    def word(self) -> str:
        """``better`` or ``worse`` at 5 % after correction, else ``undecided``."""
        if not self.p_adjusted < SIGNIFICANT:
            return "undecided"
        return "better" if self.ratio < 1 else "worse"


def market_ensemble(
    bundle: Bundle,
    choices: NDArray[np.float64],
    series: PriceSeries,
    origins: NDArray[np.int64],
    agents: int,
    members: int,
) -> FloatArray:
    """Simulate the three days after each origin, from the real prices before it.

    Parameters
    ----------
    bundle, choices
        Who trades, and what they choose.
    series, origins
        Real prices, and the number of returns known at each origin, int64[O].
    agents
        Of each market.
    members
        Markets of each origin; the same seeds at each.

    Returns
    -------
    NDArray
        Log returns, float64[O, members, 3].
    """
    world = World(bundle.offsets, bundle.rules, agents, HORIZON_DAYS)
    found = np.empty((len(origins), members, HORIZON_DAYS))
    for row, known in enumerate(origins.tolist()):
        past = history_ticks(series.close[: known + 1])
        for member in range(members):
            tape = play_market(world, (bundle.population, past, member + 1), choices)
            found[row, member] = tape.log_returns()
    return found


def garch_ensemble(
    returns: FloatArray, origins: NDArray[np.int64], members: int, rng: np.random.Generator
) -> FloatArray:
    """Draw the three days after each origin from a GARCH(1,1)-t told the past, [O, members, 3].

    Its parameters are fitted once, on what is known at the first origin.
    """
    histories = [returns[:known] for known in origins.tolist() for _ in range(members)]
    drawn = garch_t_history(returns[: origins[0]], histories, HORIZON_DAYS, rng)
    return drawn.reshape(len(origins), members, HORIZON_DAYS)


def rescale(ensemble: FloatArray, spread: FloatArray) -> FloatArray:
    """Give an ensemble [O, M, 3] the spread float64[O] about its mean, the same at all origins."""
    mean = ensemble.mean(axis=1, keepdims=True)
    own = np.sqrt(((ensemble - mean) ** 2).mean())
    return np.asarray(mean + (ensemble - mean) * (spread[:, None, None] / own))


def past_spread(returns: FloatArray, origins: NDArray[np.int64]) -> FloatArray:
    """Return the standard deviation of the last `PAST_DAYS` returns known at each origin, [O]."""
    return np.array([returns[max(0, known - PAST_DAYS) : known].std() for known in origins])


def losses_of_normal(mean: FloatArray, spread: FloatArray, actual: FloatArray) -> Losses:
    """Return what normal forecasts lose: means [O, 3], deviations [O], actual returns [O, 3]."""
    z = (actual - mean) / spread[:, None]
    crps = spread[:, None] * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi))
    return Losses(((actual - mean) ** 2).mean(axis=1), crps.mean(axis=1))


def losses_of_ensemble(ensemble: FloatArray, actual: FloatArray) -> Losses:
    """Return what an ensemble [O, M, 3] loses: its mean's squared error, and the fair CRPS."""
    members = ensemble.shape[1]
    ranked = np.sort(ensemble, axis=1)
    # mean absolute difference of two members, from the order statistics
    weight = (2 * np.arange(1, members + 1) - members - 1)[None, :, None]
    apart = 2 * (weight * ranked).sum(axis=1) / (members * (members - 1))
    crps = np.abs(ensemble - actual[:, None]).mean(axis=1) - apart / 2
    mean = ensemble.mean(axis=1)
    return Losses(((actual - mean) ** 2).mean(axis=1), crps.mean(axis=1))


def compare_losses(
    by_series: Mapping[str, Mapping[str, Losses]], score: Callable[[Losses], FloatArray]
) -> dict[tuple[str, str], Verdict]:
    """Test every forecaster on every series against the naive one there, by one score.

    Returns
    -------
    dict
        By series and forecaster, the naive ones left out. Holm's correction is for all of them.
    """
    keys: list[tuple[str, str]] = []
    found: list[tuple[float, float]] = []
    for series, forecasters in by_series.items():
        naive = score(forecasters[NAIVE])
        for name, losses in forecasters.items():
            if name != NAIVE:
                keys.append((series, name))
                ours = score(losses)
                found.append((float(ours.mean() / naive.mean()), _test(ours, naive)))
    adjusted = holm([p for _, p in found])
    return {
        key: Verdict(ratio, p, float(q))
        for key, (ratio, p), q in zip(keys, found, adjusted, strict=True)
    }


def _test(losses: FloatArray, naive: FloatArray) -> float:
    """Return the Diebold-Mariano p-value; NaN where a forecast is missing or nothing differs."""
    if not np.isfinite(losses).all() or np.allclose(losses, naive, rtol=1e-9, atol=0.0):
        return float("nan")
    return diebold_mariano(losses, naive)[1]  # origins are three days apart and do not overlap


def verdict_table(
    verdicts: Mapping[tuple[str, str], Verdict], series: Sequence[str], names: Mapping[str, str]
) -> str:
    """Return a row a forecaster and a column a series: ratio, adjusted p-value where under 1."""
    lines = [f"| forecaster | {' | '.join(series)} |", "|---" * (len(series) + 1) + "|"]
    for key, name in names.items():
        cells = []
        for one in series:
            verdict = verdicts[one, key]
            if np.isnan(verdict.p_adjusted):
                cells.append(f"{verdict.ratio:.3f}")
            else:
                told = f", {verdict.word}" if verdict.word != "undecided" else ""
                cells.append(f"{verdict.ratio:.3f} (p {verdict.p_adjusted:.2g}{told})")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)

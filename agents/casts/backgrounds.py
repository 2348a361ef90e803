"""Hundreds of different investors: ages, occupations, fortunes and tempers spread evenly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist
from scipy.stats import norm, qmc

from evobourse.agents.casts.words import OCCUPATIONS
from evobourse.agents.errors import AgentError
from evobourse.agents.styles import FIRST_STYLES

DIMENSIONS = 9
YOUNGEST, OLDEST = 20, 88
_AGES: dict[str, tuple[int, int]] = {
    "student": (20, 29),
    "day trader": (20, 60),
    "amateur": (20, 70),
    "nurse": (22, 66),
    "shopkeeper": (22, 70),
    "teacher": (24, 66),
    "engineer": (24, 66),
    "journalist": (24, 68),
    "farmer": (22, 74),
    "entrepreneur": (25, 70),
    "analyst": (25, 62),
    "banker": (26, 64),
    "lawyer": (28, 70),
    "doctor": (30, 70),
    "professor": (34, 72),
    "fund manager": (32, 66),
    "pensioner": (62, 88),
}
"""Ages at which an occupation is had."""

_TEMPERS = ("icy", "even", "lively", "hot")
_CAUTION = ("reckless", "bold", "measured", "cautious")


@dataclass(frozen=True)
class Background:
    """An investor.

    Attributes
    ----------
    age, experience_years
        In years; who is 30 has at most 12 years of experience.
    occupation
        One of `agents.casts.words.OCCUPATIONS`.
    wealth
        Relative to an ordinary investor's.
    horizon_days
        How long it means to hold.
    caution, temper
        0 to 1: how much it fears loss, and how much it acts on impulse.
    mixture
        Coefficient of each of two styles.
    never_sees
        Fields that it has no eye for.
    receptivity
        Part of what it is told that it believes.
    """

    age: int
    occupation: str
    experience_years: int
    wealth: float
    horizon_days: float
    caution: float
    temper: float
    mixture: dict[str, float]
    never_sees: tuple[str, ...]
    receptivity: float

    @property
    def temperature(self) -> float:
        """How much chance is in its decisions: 0.4 to 2.5, with experience down to half of it."""
        calm = np.exp(-0.01 * self.experience_years)
        return float(np.round(0.4 * (2.5 / 0.4) ** self.temper * calm, 3))

    @property
    def sentence(self) -> str:
        """Its background in a sentence."""
        horizon = self.horizon_days
        held = f"{horizon:.0f} days" if horizon < 60 else f"{horizon / 21:.0f} months"
        blind = f", has no eye for {' and '.join(self.never_sees)}" if self.never_sees else ""
        temper, caution = (
            names[min(int(len(names) * value), len(names) - 1)]
            for names, value in ((_TEMPERS, self.temper), (_CAUTION, self.caution))
        )
        first, second = self.mixture
        years = self.experience_years
        article = "An" if str(self.age)[0] == "8" else "A"
        return (
            f"{article} {self.age}-year-old {self.occupation}, {years} year{'s' * (years != 1)} in "
            f"markets, {self.wealth:.1f} times the usual fortune, {caution} and of {temper} "
            f"temper, holds for {held}{blind}; mostly {first}, a little {second}."
        )


def draw_backgrounds(
    count: int, rng: np.random.Generator, styles: Sequence[str] = FIRST_STYLES
) -> list[Background]:
    """Draw investors whose backgrounds all differ, from a scrambled Halton sequence.

    A low-discrepancy sequence leaves no gaps that chance would; occupations depend on age,
    experience on age, wealth on occupation and experience, caution on age, and styles on caution.

    Parameters
    ----------
    count
        How many.
    rng
        Scrambles the sequence.
    styles
        Those that there are; each investor mixes two of them.

    Raises
    ------
    AgentError
        There are fewer than two.
    """
    if len(styles) < 2:
        raise AgentError(
            f"cast: {len(styles)} styles are there, {', '.join(styles) or 'none'}; different "
            "investors mix two: name a bundle that has more"
        )
    sequence = qmc.Halton(DIMENSIONS, rng=rng)
    found: dict[str, Background] = {}
    while len(found) < count:
        for point in sequence.random(count - len(found)):
            one = background_at(point, styles)
            found.setdefault(one.sentence, one)
    return list(found.values())


def measure_diversity(backgrounds: list[Background]) -> dict[str, float]:
    """Measure how different backgrounds are.

    Returns
    -------
    dict
        ``sentences``: part of the sentences that are unique. ``least`` and ``mean``: Gower's
        distance of pairs, 0 to 1 (range-scaled differences of numbers, 0 or 1 for occupations,
        averaged; Gower 1971, Biometrics 27). ``discrepancy``: centred, of age, experience, wealth,
        horizon, caution and temper by their ranks; lower is more even.
    """
    styles = sorted({style for b in backgrounds for style in b.mixture})
    numbers = np.array(
        [
            [b.age, b.experience_years, np.log(b.wealth), np.log(b.horizon_days), b.caution]
            + [b.temper, b.receptivity]
            + [b.mixture.get(style, 0.0) for style in styles]
            for b in backgrounds
        ],
        float,
    )
    spread = np.ptp(numbers, axis=0)
    scaled = (numbers - numbers.min(axis=0)) / np.where(spread > 0, spread, 1.0)
    jobs = np.array([list(OCCUPATIONS).index(b.occupation) for b in backgrounds], float)
    columns = scaled.shape[1]
    gower = (pdist(scaled, "cityblock") + pdist(jobs[:, None], "hamming")) / (columns + 1)
    sentences = {b.sentence for b in backgrounds}
    ranks = (np.argsort(np.argsort(numbers[:, :6], axis=0), axis=0) + 0.5) / len(numbers)
    return {
        "sentences": len(sentences) / len(backgrounds),
        "least": float(gower.min()) if len(gower) else 1.0,
        "mean": float(gower.mean()) if len(gower) else 1.0,
        "discrepancy": float(qmc.discrepancy(ranks, method="CD")),
    }


def background_at(u: NDArray[np.float64], styles: Sequence[str] = FIRST_STYLES) -> Background:
    """Turn a point of the unit cube, float64[9], into an investor."""
    age = int(YOUNGEST + (OLDEST - YOUNGEST) * u[0] ** 1.2)
    jobs = [job for job, (first, last) in _AGES.items() if first <= age <= last]
    job = jobs[min(int(u[1] * len(jobs)), len(jobs) - 1)]
    typical = {"wealth": 1.0, "horizon_days": 40.0, **OCCUPATIONS[job]}
    experience = int((age - 18) * u[2] ** 1.5)
    z = norm.ppf(np.clip(u[3:7], 1e-6, 1 - 1e-6))
    wealth = typical["wealth"] * np.exp(0.02 * experience + 0.6 * z[0])
    horizon = np.clip(typical["horizon_days"] * np.exp(0.7 * z[1]), 1.0, 1_000.0)
    caution = float(norm.cdf(0.6 * (age - 50) / 20 + 0.8 * z[2]))
    temper = float(norm.cdf(z[3]))
    first, second = _styles(caution, float(u[7]), styles)
    weight = round(0.6 + 0.4 * float(u[8]), 3)
    blind = []
    if experience < 3 and u[8] > 0.5:
        blind.append("value")
    if horizon > 200 and u[7] > 0.6:
        blind.append("news")
    if caution < 0.3 and u[2] > 0.6:
        blind.append("volatility")
    receptivity = round(float(np.exp(-0.03 * experience) * (0.3 + 0.7 * u[8])), 3)
    return Background(
        age,
        job,
        experience,
        round(float(wealth), 3),
        round(float(horizon), 1),
        round(caution, 3),
        round(temper, 3),
        {first: weight, second: round(1 - weight, 3)},
        tuple(blind),
        receptivity,
    )


def _styles(caution: float, u: float, styles: Sequence[str]) -> tuple[str, str]:
    """Choose a first and a second style: the cautious fear risk or buy cheap, the bold chase."""
    bold = {"momentum": 1, "breakout": 1, "news-driven": 0.8, "herding": 0.6, "contrarian": 0.6}
    shy = {"risk-averse": 1, "value": 1, "contrarian": 0.5, "herding": 0.5, "news-driven": 0.3}
    odds = {s: (1 - caution) * bold.get(s, 0.1) + caution * shy.get(s, 0.1) for s in styles}
    names, weights = list(odds), np.cumsum(list(odds.values()))
    spot = u * weights[-1]
    at = min(int(np.searchsorted(weights, spot, side="right")), len(names) - 1)
    within = (spot - (weights[at] - odds[names[at]])) / odds[names[at]]
    others = [name for name in names if name != names[at]]
    return names[at], others[min(int(within * len(others)), len(others) - 1)]

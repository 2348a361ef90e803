"""A contest among personas: ranked every so often, the best gain capital or voice, the worst go.

It moves no money itself: it says what is due, and the market pays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from evobourse.agents.observation import VIEWS
from evobourse.agents.personas.persona import Persona
from evobourse.agents.personas.social import Contest
from evobourse.agents.styles import STYLES, teach


@dataclass(frozen=True)
class Round:
    """What a ranking came to.

    Attributes
    ----------
    day
        At whose close.
    scores
        Persona name to its score, None for one that cannot be ranked.
    winners, losers
        Names, best and worst first.
    moved_cents, moved_voice
        What went from losers' agents to winners'.
    replaced
        Name of each persona that was replaced to those of its parents.
    """

    day: int
    scores: Mapping[str, float | None]
    winners: tuple[str, ...]
    losers: tuple[str, ...]
    moved_cents: int
    moved_voice: float
    replaced: Mapping[str, tuple[str, str]]

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Prizes:
    """What a ranking moves.

    Attributes
    ----------
    cash_cents, voice
        What each agent gains, negative for what it loses: int64[n], float64[n].
    children
        Row of each persona that is replaced to who takes its place.
    """

    cash_cents: NDArray[np.int64]
    voice: NDArray[np.float64]
    children: Mapping[int, Persona]


class Rivalry:
    """The contest of one crowd.

    Parameters
    ----------
    contest
        Settings.
    personas
        Who compete.
    styles
        Style of each of their coefficients: an agent is faithful as far as it decides as the
        teacher of its persona's strongest style would (`agents.styles.teach`) on what it saw. Who
        has no style of a teacher is not ranked by it.
    rng
        Of parents and recombination.

    Attributes
    ----------
    rounds
        Rankings so far.
    taught
        int8[P, V], what teachers would choose; None for a contest of profits.
    held, cost
        int64[n] and float64[n], lots of the evening before, None before the first, and their cost.
    score, weight
        float64[P], since the last ranking.
    """

    def __init__(
        self,
        contest: Contest,
        personas: Sequence[Persona],
        styles: Sequence[str],
        rng: np.random.Generator,
    ) -> None:
        self.contest = contest
        self.rounds: list[Round] = []
        self._styles, self._rng = tuple(styles), rng
        self.held: NDArray[np.int64] | None = None
        self.cost: NDArray[np.float64] = np.zeros(0)
        self.taught = _taught(personas, self._styles) if contest.by == "fidelity" else None
        self.score = np.zeros(len(personas))
        self.weight = np.zeros(len(personas))

    def end_day(
        self,
        persona: NDArray[np.int64],
        tendency: NDArray[np.int64],
        views: NDArray[np.int64],
        equity_cents: NDArray[np.int64],
        position: NDArray[np.int64],
        close_cents: int,
    ) -> None:
        """Count the day: profits realised at its close, or decisions as the teacher's."""
        if self.taught is not None:
            count_faith(self.taught, persona, views, tendency, self.score, self.weight)
            return
        position = np.maximum(position, 0)  # of what is owned: who is short realises nothing here
        if self.held is None:
            self.end_first_day(equity_cents, position, close_cents)
            return
        count_profits(self.held, self.cost, position, float(close_cents), persona, self.score)

    def end_first_day(
        self, equity_cents: NDArray[np.int64], position: NDArray[np.int64], close_cents: int
    ) -> None:
        """Take what agents begin with, int64[n] each, to have cost the first close."""
        self.held, self.cost = position.copy(), position.astype(np.float64) * close_cents
        self.begin(equity_cents)

    def due(self, day: int) -> bool:
        """Whether the personas are ranked at this day's close."""
        return (day + 1) % self.contest.every == 0

    def begin(self, equity_cents: NDArray[np.int64]) -> None:
        """Take the equity of the agents, int64[n], as what profits are over from now on."""
        self._capital = np.maximum(equity_cents.astype(float), 1.0)

    def rank(
        self, persona: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
        """Rank the personas that have agents, and begin to count anew.

        Returns
        -------
        scores, winners, losers
            float64[P], NaN for those that are not ranked; rows of the best and of the worst.
        """
        count = np.bincount(persona, minlength=len(self.score)).astype(float)
        weight = self.weight
        if self.taught is None:
            weight = np.bincount(persona, self._capital, len(count)).astype(float)
        ranked = (count > 0) & (weight > 0)
        scores = np.where(ranked, self.score / np.maximum(weight, 1e-12), np.nan)
        order = np.flatnonzero(ranked)
        order = order[np.argsort(-scores[order], kind="stable")]
        most = min(self.contest.winners, len(order) // 2)
        self.score, self.weight = np.zeros_like(scores), np.zeros_like(scores)
        return scores, order[:most], order[len(order) - most :][::-1]

    def settle(
        self,
        day: int,
        persona: NDArray[np.int64],
        personas: Sequence[Persona],
        cash_cents: NDArray[np.int64],
        equity_cents: NDArray[np.int64],
        voice: NDArray[np.float64],
    ) -> Prizes:
        """Rank, and say what flows to whom and who is replaced by whom; keep the round."""
        contest, names = self.contest, [one.name for one in personas]
        scores, winners, losers = self.rank(persona)
        gives, takes = np.isin(persona, losers), np.isin(persona, winners)
        due, louder = np.zeros(len(persona), np.int64), np.zeros(len(persona))
        if contest.flow == "capital":
            due = transfers(cash_cents, equity_cents, gives, takes, contest.part)
        elif contest.flow == "voice" and takes.any():
            given = np.where(gives, contest.part * voice, 0.0)
            louder = np.where(takes, given.sum() / takes.sum(), 0.0) - given
        self.begin(equity_cents + due)
        children, parents = {}, {}
        for row in losers[: contest.replaced if len(winners) else 0].tolist():
            pair = self._rng.choice(winners, 2, replace=len(winners) < 2)
            first, second = (personas[parent] for parent in pair)
            children[row] = recombine(personas[row], first, second, self._rng)
            parents[names[row]] = first.name, second.name
        if children and self.taught is not None:
            after = [children.get(p, one) for p, one in enumerate(personas)]
            self.taught = _taught(after, self._styles)
        values = (float(score) if np.isfinite(score) else None for score in scores)
        known = dict(zip(names, values, strict=True))
        best, worst = (tuple(names[row] for row in rows) for rows in (winners, losers))
        cents, voices = int(np.maximum(due, 0).sum()), float(np.maximum(louder, 0).sum())
        self.rounds.append(Round(day, known, best, worst, cents, voices, parents))
        return Prizes(due, louder, children)


@njit(cache=True)
def count_profits(
    held: NDArray[np.int64],
    cost: NDArray[np.float64],
    position: NDArray[np.int64],
    close_cents: float,
    persona: NDArray[np.int64],
    score: NDArray[np.float64],
) -> None:
    """Add what agents realised at the close to their personas' scores, float64[P], in place.

    Parameters
    ----------
    held, cost
        int64[n] and float64[n], changed: lots of the evening before, and what they have cost.
    position
        int64[n], lots after today's trades, 0 or more.
    close_cents, persona
        Today's close, and who an agent is, int64[n].
    """
    for i in range(held.size):
        sold = max(held[i] - position[i], 0)
        average = cost[i] / max(held[i], 1)
        cost[i] += max(position[i] - held[i], 0) * close_cents - sold * average
        held[i] = position[i]
        score[persona[i]] += sold * (close_cents - average)


@njit(cache=True)
def count_faith(
    taught: NDArray[np.int8],
    persona: NDArray[np.int64],
    views: NDArray[np.int64],
    tendency: NDArray[np.int64],
    score: NDArray[np.float64],
    weight: NDArray[np.float64],
) -> None:
    """Add how near decisions are to the teachers' to scores and weights, float64[P], in place.

    Parameters
    ----------
    taught
        int8[P, V], what each persona's teacher would choose, -3 for no teacher.
    persona, views, tendency
        int64[n] each.
    """
    for i in range(persona.size):
        lesson = taught[persona[i], views[i]]
        if lesson > -3:
            score[persona[i]] += 1.0 - abs(tendency[i] - lesson) / 4.0
            weight[persona[i]] += 1.0


def recombine(worst: Persona, first: Persona, second: Persona, rng: np.random.Generator) -> Persona:
    """Put a child of two personas in the place of a third, whose name, traits and share it takes.

    Each coefficient is a mean of the parents' with a weight of its own, uniform in 0 to 1;
    temperatures mix likewise in logarithms. It is on the first parent's base, with its cores.
    """
    a, b = np.array(first.mixture), np.array(second.mixture)
    part = rng.random(a.shape)
    mixture = part * a + (1.0 - part) * b
    at = rng.random()
    heat = np.exp(at * np.log(first.temperature) + (1.0 - at) * np.log(second.temperature))
    return replace(
        worst,
        profile=f"Recombined of {first.name} and {second.name}, in the place of {worst.name}.",
        mixture=tuple(map(tuple, mixture.tolist())),
        temperature=float(heat),
        base=first.base,
        cores=first.cores,
    )


def transfers(
    cash_cents: NDArray[np.int64],
    equity_cents: NDArray[np.int64],
    gives: NDArray[np.bool_],
    takes: NDArray[np.bool_],
    part: float,
) -> NDArray[np.int64]:
    """Return what each agent receives, negative for what it gives: int64[n], summing to zero.

    Givers give a part of their cash; takers share it by their equity, to the cent (what is left
    by rounding down goes to the largest fractions, first come first).
    """
    if not takes.any():
        return np.zeros(len(cash_cents), np.int64)
    given = np.where(gives, np.floor(part * np.maximum(cash_cents, 0)), 0).astype(np.int64)
    pool = int(given.sum())
    weight = np.where(takes, np.maximum(equity_cents, 1), 0).astype(float)
    exact = pool * (weight / weight.sum())
    taken: NDArray[np.int64] = np.floor(exact).astype(np.int64)
    left = pool - int(taken.sum())
    fraction = np.where(takes, exact - taken, -1.0)
    taken[np.argsort(-fraction, kind="stable")[:left]] += 1
    return taken - given


def _taught(personas: Sequence[Persona], styles: Sequence[str]) -> NDArray[np.int8]:
    """Return what each persona's teacher would choose in every view, -3 for no teacher: [P, V]."""
    views = np.arange(VIEWS)
    tables: dict[str, NDArray[np.int8]] = {}
    rows = []
    for persona in personas:
        weights = np.array(persona.mixture).mean(axis=0)
        strongest = int(weights.argmax()) if len(weights) else -1
        style = styles[strongest] if len(weights) and weights[strongest] > 0 else None
        if style not in STYLES:
            rows.append(np.full(VIEWS, -3, np.int8))
            continue
        if style not in tables:
            tables[style] = (teach(style, views) - 2).astype(np.int8)
        rows.append(tables[style])
    return np.stack(rows)

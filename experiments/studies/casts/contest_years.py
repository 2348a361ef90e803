"""Years of a society with a contest and without: who gets rich, and how many minds are left."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from evobourse.agents.crowds.persona_crowd import PersonaCrowd
from evobourse.agents.minds.choices import tabulate_choices
from evobourse.agents.minds.stand_ins import Minds
from evobourse.agents.personas.social import Contest, Social
from evobourse.evolve.bundle import Bundle
from evobourse.experiments.reports.intervals import show
from evobourse.fitness.behaviour.herding import effective_minds
from evobourse.fitness.distance import score_paths
from evobourse.fitness.target import Target
from evobourse.market.daily_auction import Market, simulate

CONTESTS: dict[str, Contest | None] = {
    "none": None,
    "capital": Contest(replaced=0),
    "capital, half": Contest(replaced=0, part=0.5),
    "voice": Contest(flow="voice", replaced=0),
    "capital, worst replaced": Contest(replaced=1),
    "voice by fidelity, worst replaced": Contest(by="fidelity", flow="voice", replaced=1),
}
AGENTS, DAYS = 400, 250


@dataclass(frozen=True)
class Year:
    """What a year with or without a contest came to.

    Attributes
    ----------
    gini
        Of wealth at the end, 0 for equal.
    top
        Part of it that the richest tenth has.
    minds
        Effective number of minds among the personas' mean tendencies (K*).
    score
        J/J95 of the path alone against the real training years.
    volatility
        Of daily log returns, %.
    """

    gini: float
    top: float
    minds: float
    score: float
    volatility: float


def play_year(
    bundle: Bundle, minds: Minds, contest: Contest | None, days: int, seed: int, target: Target
) -> Year:
    """Play the bundle's population as a society, with or without a contest."""
    society = replace(bundle.population.society, social=Social(contest=contest))
    population = replace(bundle.population, society=society)
    [choices] = tabulate_choices([population], minds)
    of_crowd, of_market = (
        np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(key,))) for key in (1, 2)
    )
    crowd = PersonaCrowd(
        population,
        choices,
        bundle.offsets,
        AGENTS,
        of_crowd,
        styles=[path.name for path in bundle.adapters],
        tabulate=lambda people: tabulate_choices([people], minds)[0],
    )
    market = Market(bundle.rules, bundle.history, crowd.accounts(), of_market, "full")

    def pay(day: int) -> None:
        market.accounts.cash_cents += crowd.take_transfers()

    [tape] = simulate([market], [crowd], days, pay)
    decisions = tape.full_decisions()
    mean = decisions.pivot_table(index="persona", columns="day", values="tendency").fillna(0.0)
    spread = mean.to_numpy() - mean.to_numpy().mean(axis=1, keepdims=True)
    accounts = market.accounts
    wealth = np.sort(accounts.cash_cents + accounts.shares * int(tape.close_ticks[-1]))
    rank = np.arange(1, AGENTS + 1)
    gini = 2 * (rank @ wealth) / (AGENTS * wealth.sum()) - (AGENTS + 1) / AGENTS
    returns = tape.log_returns()
    return Year(
        float(gini),
        float(wealth[-AGENTS // 10 :].sum() / wealth.sum()),
        float(effective_minds(spread)),
        float(score_paths(returns[None], target).ratio),
        100 * float(returns.std()),
    )


def contest_table(years: dict[str, list[Year]]) -> str:
    """Return a row a contest: means over seeds, and paired differences from none."""
    names = {
        "gini": ("Gini", 3),
        "top": ("richest tenth, %", 1),
        "minds": ("K*", 2),
        "score": ("J/J95", 2),
        "volatility": ("daily volatility, %", 2),
    }
    heads = [part for head, _ in names.values() for part in (head, "less none")]
    lines = [f"| contest | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for name, found in years.items():
        cells = []
        for key, (_, digits) in names.items():
            scale = 100 if key == "top" else 1
            values = [scale * getattr(year, key) for year in found]
            base = [scale * getattr(year, key) for year in years["none"]]
            less = [a - b for a, b in zip(values, base, strict=True)]
            cells += [show(values, digits), "" if name == "none" else show(less, digits)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)

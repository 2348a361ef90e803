"""Textbook and published results, played at our exchange.

All figures have 95 % intervals over seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike, NDArray

from evobourse.experiments.reports.figure_lines import Report
from evobourse.experiments.reports.intervals import show
from evobourse.experiments.studies.market_checks.auction import SCHEDULES, Periods, play_periods
from evobourse.experiments.studies.market_checks.impact import (
    HILL,
    NAMES,
    VOLATILITY,
    describe,
    play_market,
)
from evobourse.experiments.studies.run import Page, Study
from evobourse.fitness.baselines.franke_westerhoff import (
    PUBLISHED,
    franke_westerhoff,
)
from evobourse.market.crowds.zero_intelligence import equilibrium

STUDY = Study(
    question="does the exchange reproduce textbook and published results?",
    minutes=5,
    page="docs/studies/market_checks.md",
)

GODE_SUNDER_EFFICIENCY = 0.987
MARKETS: dict[str, dict[str, Any]] = {
    "500 agents, shares as exact as agents allow": {"n_agents": 500, "systematic": True},
    "500 agents": {"n_agents": 500},
    "20 agents": {"n_agents": 20},
    "500 different agents": {"n_agents": 500, "dispersion": 1.0},
    "500 different agents, call": {"n_agents": 500, "dispersion": 1.0, "clearing": "call"},
}

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Settings:
    """What is played.

    Attributes
    ----------
    auction_seeds
        Markets of zero-intelligence traders of each kind.
    budget_turns, free_turns
        Shouts in a period, with budgets and without; the latter trade everything in fewer.
    seeds
        Markets of each Franke-Westerhoff population.
    burn_in_days, days
        Of each: those left out at first, and those measured.
    paths
        Of the model's equations.
    """

    auction_seeds: int = 6
    budget_turns: int = 500
    free_turns: int = 150
    seeds: int = 8
    burn_in_days: int = 50
    days: int = 500
    paths: int = 4_000


def run(settings: Settings, report: Report) -> Page:
    """Play everything."""
    auctions = check_auctions(settings, report)
    impact = check_impact(settings, report)
    return Page(HEAD.format(command=report.command) + auctions + impact)


def check_auctions(settings: Settings, report: Report) -> str:
    """Play Gode and Sunder's markets with and without budgets."""
    turns = {True: settings.budget_turns, False: settings.free_turns}
    seeds = settings.auction_seeds
    calls = [
        (schedule, constrained, 1, turns[constrained], 1, seed)
        for schedule in SCHEDULES.values()
        for constrained in (True, False)
        for seed in range(seeds)
    ]
    runs = iter(_play(play_periods, calls, "zero-intelligence traders", report))
    rows, totals = [], []
    for name, schedule in SCHEDULES.items():
        best = equilibrium(*schedule.sides())
        with_budget, without = ([next(runs) for _ in range(seeds)] for _ in range(2))
        rows.append(
            f"| {name}: {schedule} | {best.quantity} | {_efficiency(with_budget)} | "
            f"{_efficiency(without)} | {_deviations(with_budget)} | {_deviations(without)} |"
        )
        totals.append([[run.efficiency.mean() for run in with_budget]])
        totals[-1].append([run.efficiency.mean() for run in without])
    mean = np.array(totals).mean(axis=0)
    rows.append(
        f"| mean of the five | | {_show(100 * mean[0], 1)} | {_show(100 * mean[1], 1)} | | |"
    )
    value = float(mean[0].mean())
    name = "ZI-C allocative efficiency, mean of five markets"
    report.figure(name, value, "1", "Gode and Sunder (1993)", value / GODE_SUNDER_EFFICIENCY)
    return AUCTIONS.format(
        budget_turns=settings.budget_turns,
        free_turns=settings.free_turns,
        seeds=seeds,
        efficiency=100 * GODE_SUNDER_EFFICIENCY,
        rows="\n".join(rows),
    )


def check_impact(settings: Settings, report: Report) -> str:
    """Play the Franke-Westerhoff population through impact and through a call."""
    seeds, burn_in = settings.seeds, settings.burn_in_days
    days = burn_in + settings.days
    calls = [
        {"clearing": "impact", "days": days, "seed": seed, **how}
        for how in MARKETS.values()
        for seed in range(seeds)
    ]
    played = _play(
        lambda how: play_market(**how), [(how,) for how in calls], "structural markets", report
    )
    shape = len(MARKETS), seeds, days
    returns = dict(zip(MARKETS, np.array(played).reshape(shape)[..., burn_in:], strict=True))
    direct = np.concatenate(
        [
            franke_westerhoff(PUBLISHED, 1, settings.days, np.random.default_rng(seed), burn_in)
            for seed in range(seeds)
        ]
    )
    rng = np.random.default_rng(seeds)
    many = describe(franke_westerhoff(PUBLISHED, settings.paths, settings.days, rng, burn_in))
    own = {name: describe(paths) for name, paths in returns.items()}
    shown = range(many.shape[1])  # the last moment is of long paths alone
    exact, free, few, different, call = own.values()
    twin = describe(direct)
    error = {
        name: np.std(returns[name] - direct, axis=1) / direct.std(axis=1) for name in list(own)[:4]
    }
    for where, values, peer, peers in (
        ("through impact", exact, "the model's equations, same noise", twin),
        ("of a call", call, "the same demands, impact", different),
    ):
        for what, k, unit in (("volatility", VOLATILITY, "% a day"), ("tail index", HILL, "1")):
            value = float(values[:, k].mean())
            ratio = float(values[:, k].mean() / peers[:, k].mean())
            report.figure(f"{what} {where}", value, unit, peer, ratio)
    return IMPACT.format(
        days=f"{settings.days:,}",
        burn_in=burn_in,
        seeds=seeds,
        paths=f"{settings.paths:,}",
        limit=_table(
            ("moment", "equations alone", "at the exchange", "difference, seed by seed"),
            [(many[:, k], exact[:, k], exact[:, k] - twin[:, k]) for k in shown],
        ),
        finite=_table(
            ("difference from the equations", *list(own)[:4]),
            [[x[:, k] - twin[:, k] for x in (exact, free, few, different)] for k in shown],
            ("error of a day's return, in standard deviations", *error.values()),
        ),
        call=_table(
            ("moment", "impact", "call", "call less impact, seed by seed"),
            [(different[:, k], call[:, k], call[:, k] - different[:, k]) for k in shown],
        ),
    )


def _play(
    what: Callable[..., Any], calls: Sequence[tuple[Any, ...]], title: str, report: Report
) -> list[Any]:
    done = []
    with report.steps(title, len(calls)) as step:
        parallel = Parallel(n_jobs=-1, return_as="generator")
        for found in parallel(delayed(what)(*call) for call in calls):
            done.append(found)
            step()
    return done


def _show(values: ArrayLike, digits: int) -> str:
    return show(values, digits, alone=False)


def _efficiency(runs: Sequence[Periods]) -> str:
    return _show([100 * run.efficiency.mean() for run in runs], 1)


def _deviations(runs: Sequence[Periods]) -> str:
    return ", ".join(f"{x:.1f}" for x in np.mean([run.deviation for run in runs], axis=0))


def _table(head: Sequence[str], columns: Sequence[Sequence[Array]], *extra: Sequence[Any]) -> str:
    rows = [(name, *values) for name, values in zip(NAMES[: len(columns)], columns, strict=True)]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for name, *values in [*rows, *extra]:
        lines.append(f"| {name} | {' | '.join(_show(v, 3) for v in values)} |")
    return "\n".join(lines)


HEAD = """# Textbook and published checks of the market

Written by `{command}`; do not edit.

Intervals are 95 % over seeds (Student's t).

"""

AUCTIONS = """## Zero-intelligence traders (Gode and Sunder 1993)

Six buyers and six sellers in the exchange's continuous double auction, prices of 1 to 200, one
shout at a time: a period of {budget_turns} shouts with budgets and of {free_turns} without, for
{seeds} seeds. The schedules are straight lines of our own: the paper shows its five in
figures alone. It reports {efficiency} % on average with budgets. Without them
efficiency is a matter of the schedule: all units trade, those beyond the margin too.

Distance from the equilibrium price: root mean square in ticks, over the first, middle and last
third of a period's trades. With budgets it should fall within a period, without them not.

| market | equilibrium quantity | efficiency with budgets (ZI-C), % | without (ZI-U), % \
| distance, ZI-C | distance, ZI-U |
|---|---|---|---|---|---|
{rows}

"""

IMPACT = """## The Franke-Westerhoff population through impact

{days} days after {burn_in} from the fundamental value, {seeds} seeds; published parameters;
every agent's demand is a market order that a dealer fills. Beside it the model's equations
(`fitness.baselines`): {paths} paths, and for the differences the very paths whose
camps have the same noise. Agents' shares are drawn systematically, so that they are off the
model's by less than one agent: this is the limit of many agents. {seeds} seeds say little of a
moment's mean; the differences, seed by seed, are the sharper test.

{limit}

### What finitely many agents change

Agents choose their camp independently but for the first column. "Different" agents have a demand
of their own, by one standard normal, beside their camp's. Differences from the equations with the
same camps' noise.

{finite}

## The same demands through a call auction

500 different agents as above; in the call, each sends one limit order for its demand at its
reservation price (the price at which its linear demand is nil).

{call}
"""

"""`make bench-checks`: textbook and published results, played at our exchange, into a document.

All figures have 95 % intervals over seeds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from rich.progress import track
from scipy.stats import t

from evobourse.experiments.studies.market_checks.auction import SCHEDULES, Periods, play_periods
from evobourse.experiments.studies.market_checks.impact import (
    HILL,
    NAMES,
    VOLATILITY,
    describe,
    play_market,
)
from evobourse.fitness.baselines.franke_westerhoff import (
    PUBLISHED,
    franke_westerhoff,
)
from evobourse.market.crowds.zero_intelligence import equilibrium

DOCUMENT = Path(__file__).parents[4] / "docs" / "market_checks.md"
AUCTION_SEEDS = 6
TURNS = {True: 500, False: 150}
"""Shouts in a period, with budgets and without; the latter trade everything in fewer."""

BURN_IN_DAYS, DAYS, SEEDS = 50, 500, 8
DIRECT_PATHS = 4_000
GODE_SUNDER_EFFICIENCY = 0.987
MARKETS: dict[str, dict[str, Any]] = {
    "500 agents, shares as exact as agents allow": {"n_agents": 500, "systematic": True},
    "500 agents": {"n_agents": 500},
    "20 agents": {"n_agents": 20},
    "500 different agents": {"n_agents": 500, "dispersion": 1.0},
    "500 different agents, call": {"n_agents": 500, "dispersion": 1.0, "clearing": "call"},
}

Array = NDArray[np.float64]


def main(document: Path = DOCUMENT) -> None:
    """Play everything, write the document, and print it with one JSON line a figure."""
    auctions, figures = check_auctions()
    impact, more = check_impact()
    document.write_text(HEAD + auctions + impact, encoding="utf-8")
    print(document.read_text(encoding="utf-8"))
    for line in figures + more:
        print(json.dumps({"bench": "market_checks", **line}))
    print(f"written to {document}")


def check_auctions() -> tuple[str, list[dict[str, Any]]]:
    """Play Gode and Sunder's markets with and without budgets."""
    calls = [
        (schedule, constrained, 1, TURNS[constrained], 1, seed)
        for schedule in SCHEDULES.values()
        for constrained in (True, False)
        for seed in range(AUCTION_SEEDS)
    ]
    played = _play(play_periods, calls, "auctions among zero-intelligence traders")
    runs = iter(played)
    rows, totals = [], []
    for name, schedule in SCHEDULES.items():
        best = equilibrium(*schedule.sides())
        with_budget, without = ([next(runs) for _ in range(AUCTION_SEEDS)] for _ in range(2))
        rows.append(
            f"| {name}: {schedule} | {best.quantity} | {_efficiency(with_budget)} | "
            f"{_efficiency(without)} | {_deviations(with_budget)} | {_deviations(without)} |"
        )
        totals.append([[run.efficiency.mean() for run in with_budget]])
        totals[-1].append([run.efficiency.mean() for run in without])
    mean = np.array(totals).mean(axis=0)
    rows.append(
        f"| mean of the five | | {interval(100 * mean[0], 1)} | {interval(100 * mean[1], 1)} | | |"
    )
    published = np.array([GODE_SUNDER_EFFICIENCY])
    name = "ZI-C allocative efficiency, mean of five markets"
    figure = _figure(name, mean[0], "1", "Gode and Sunder (1993)", published)
    return AUCTIONS.format(rows="\n".join(rows)), [figure]


def check_impact() -> tuple[str, list[dict[str, Any]]]:
    """Play the Franke-Westerhoff population through impact and through a call."""
    days = BURN_IN_DAYS + DAYS
    calls = [
        {"clearing": "impact", "days": days, "seed": seed, **how}
        for how in MARKETS.values()
        for seed in range(SEEDS)
    ]
    played = _play(lambda how: play_market(**how), [(how,) for how in calls], "structural markets")
    shape = len(MARKETS), SEEDS, days
    returns = dict(zip(MARKETS, np.array(played).reshape(shape)[..., BURN_IN_DAYS:], strict=True))
    direct = np.concatenate(
        [
            franke_westerhoff(PUBLISHED, 1, DAYS, np.random.default_rng(seed), BURN_IN_DAYS)
            for seed in range(SEEDS)
        ]
    )
    rng = np.random.default_rng(SEEDS)
    many = describe(franke_westerhoff(PUBLISHED, DIRECT_PATHS, DAYS, rng, BURN_IN_DAYS))
    own = {name: describe(paths) for name, paths in returns.items()}
    exact, free, few, different, call = own.values()
    twin = describe(direct)
    error = {
        name: np.std(returns[name] - direct, axis=1) / direct.std(axis=1) for name in list(own)[:4]
    }
    text = IMPACT.format(
        limit=_table(
            ("moment", "equations alone", "at the exchange", "difference, seed by seed"),
            [(many[:, k], exact[:, k], exact[:, k] - twin[:, k]) for k in range(len(NAMES))],
        ),
        finite=_table(
            ("difference from the equations", *list(own)[:4]),
            [
                [x[:, k] - twin[:, k] for x in (exact, free, few, different)]
                for k in range(len(NAMES))
            ],
            ("error of a day's return, in standard deviations", *error.values()),
        ),
        call=_table(
            ("moment", "impact", "call", "call less impact, seed by seed"),
            [
                (different[:, k], call[:, k], call[:, k] - different[:, k])
                for k in range(len(NAMES))
            ],
        ),
    )
    return text, [
        _figure(f"{what} {where}", values[:, k], unit, peer, peers[:, k])
        for where, values, peer, peers in (
            ("through impact", exact, "the model's equations, same noise", twin),
            ("of a call", call, "the same demands, impact", different),
        )
        for what, k, unit in (("volatility", VOLATILITY, "% a day"), ("tail index", HILL, "1"))
    ]


def _figure(name: str, values: Array, unit: str, peer: str, peers: Array) -> dict[str, Any]:
    value, ratio = float(values.mean()), float(values.mean() / peers.mean())
    return {"figure": name, "value": value, "unit": unit, "peer": peer, "ratio": ratio}


def interval(values: Array, digits: int) -> str:
    """Format a mean over seeds and its 95 % interval (Student's t), values float64[S]."""
    reach = t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    mean = values.mean()
    return f"{mean:z.{digits}f} [{mean - reach:z.{digits}f}, {mean + reach:z.{digits}f}]"


def _play(what: Callable[..., Any], calls: Sequence[tuple[Any, ...]], title: str) -> list[Any]:
    done = Parallel(n_jobs=-1, return_as="generator")(delayed(what)(*call) for call in calls)
    return list(track(done, title, total=len(calls)))


def _efficiency(runs: Sequence[Periods]) -> str:
    return interval(100 * np.array([run.efficiency.mean() for run in runs]), 1)


def _deviations(runs: Sequence[Periods]) -> str:
    return ", ".join(f"{x:.1f}" for x in np.mean([run.deviation for run in runs], axis=0))


def _table(head: Sequence[str], columns: Sequence[Sequence[Array]], *extra: Sequence[Any]) -> str:
    rows = [(name, *values) for name, values in zip(NAMES, columns, strict=True)]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for name, *values in [*rows, *extra]:
        lines.append(f"| {name} | {' | '.join(interval(v, 3) for v in values)} |")
    return "\n".join(lines)


HEAD = """# Textbook and published checks of the market

Written by `make bench-checks` (`python -m evobourse.experiments.studies.market_checks.study`); do
not edit. Intervals are 95 % over seeds (Student's t).

"""

AUCTIONS = f"""## Zero-intelligence traders (Gode and Sunder 1993)

Six buyers and six sellers in the exchange's continuous double auction, prices of 1 to 200, one
shout at a time: a period of {TURNS[True]} shouts with budgets and of {TURNS[False]} without, for
{AUCTION_SEEDS} seeds. The schedules are straight lines of our own: the paper shows its five in
figures alone. It reports {100 * GODE_SUNDER_EFFICIENCY} % on average with budgets. Without them
efficiency is a matter of the schedule: all units trade, those beyond the margin too.

Distance from the equilibrium price: root mean square in ticks, over the first, middle and last
third of a period's trades. With budgets it should fall within a period, without them not.

| market | equilibrium quantity | efficiency with budgets (ZI-C), % | without (ZI-U), % \
| distance, ZI-C | distance, ZI-U |
|---|---|---|---|---|---|
{{rows}}

"""

IMPACT = f"""## The Franke-Westerhoff population through impact

{DAYS:,} days after {BURN_IN_DAYS} from the fundamental value, {SEEDS} seeds; published parameters;
every agent's demand is a market order that a dealer fills. Beside it the model's equations
(`fitness.baselines`): {DIRECT_PATHS:,} paths, and for the differences the very paths whose
camps have the same noise. Agents' shares are drawn systematically, so that they are off the
model's by less than one agent: this is the limit of many agents. {SEEDS} seeds say little of a
moment's mean; the differences, seed by seed, are the sharper test.

{{limit}}

### What finitely many agents change

Agents choose their camp independently but for the first column. "Different" agents have a demand
of their own, by one standard normal, beside their camp's. Differences from the equations with the
same camps' noise.

{{finite}}

## The same demands through a call auction

500 different agents as above; in the call, each sends one limit order for its demand at its
reservation price (the price at which its linear demand is nil).

{{call}}
"""

if __name__ == "__main__":
    main()

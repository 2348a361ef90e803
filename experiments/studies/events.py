"""What a single factor does to a market: the same markets with it and without, in pairs.

After StockAgent (Zhang et al. 2024, When AI meets finance, arXiv 2407.18957), which turns the
sources of information and the external events of its investors on and off.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ttest_1samp

from evobourse.agents.personas.social import Social
from evobourse.evolve.bundle import Bundle
from evobourse.experiments.config.scenario import Scenario, Size, Terms
from evobourse.experiments.reports.figure_lines import Report
from evobourse.experiments.reports.intervals import show
from evobourse.experiments.simulate.bundle import open_population
from evobourse.experiments.simulate.exchange import build_scenario
from evobourse.experiments.studies.run import Page, Study
from evobourse.fitness.comparisons import holm
from evobourse.market.events.kinds import Event, News, Rumour, Windfall
from evobourse.market.events.values import Agents

STUDY = Study(
    question="what does each source of information and each external event do to a market?",
    minutes=2,
    page="docs/studies/events.md",
)

OUTCOMES = {
    "price": "price at the end, log-%",
    "volatility": "volatility, %",
    "volume": "volume, log-%",
    "inequality": "Gini of equity, points",
}


@dataclass(frozen=True)
class Settings:
    """What is played.

    Attributes
    ----------
    population
        A bundle's folder, a config (the population that its sweep begins with), or `hand-set`.
    pairs
        Markets with each factor and without, one a seed.
    agents, days, seed
        Of each market, and the seed of the first.
    every
        Days between the reports of a factor that reports.
    tone
        Of a report, in standard deviations of an ordinary day's news.
    """

    population: str = "hand-set"
    pairs: int = 10
    agents: int = 100
    days: int = 60
    seed: int = 1
    every: int = 10
    tone: float = 3.0


@dataclass(frozen=True)
class Factor:
    """A market in which one thing is other than in the common one.

    Attributes
    ----------
    scenario, bundle
        Where, and who.
    events
        What happens.
    """

    scenario: Scenario
    bundle: Bundle
    events: tuple[Event, ...] = ()


def list_factors(bundle: Bundle, settings: Settings) -> dict[str, Factor]:
    """List the common market, which is nameless, and one with each factor."""
    plain = Scenario()
    half = settings.days // 2
    cash = 50 * int(bundle.history[-1])  # half of what the typical agent begins with

    def reports(tone: float) -> tuple[Event, ...]:
        days = range(settings.every, settings.days, settings.every)
        return tuple(News(day=day, text="The report is out.", tone=tone) for day in days)

    def blind(field: str) -> Bundle:
        society = bundle.population.society
        hidden = replace(society, mask={**society.mask, field: 1.0})
        return replace(bundle, population=replace(bundle.population, society=hidden))

    told = Rumour(
        day=half, agents=Agents(share=0.2), text="A hole.", is_true=False, tone=-settings.tone
    )
    loans = Windfall(day=half, agents=Agents(crowd=0), cash_cents=cash)
    return {
        "": Factor(plain, bundle),
        "good financial reports": Factor(plain, bundle, reports(settings.tone)),
        "bad financial reports": Factor(plain, bundle, reports(-settings.tone)),
        "a false rumour, heard by a fifth": Factor(plain, bundle, (told,)),
        "posts among investors": Factor(replace(plain, society=Social()), bundle),
        "nobody reads news": Factor(plain, blind("news")),
        "nobody sees what others did": Factor(plain, blind("crowd")),
        "loans: half as much cash again": Factor(plain, bundle, (loans,)),
        "a tax of 1 % on sales": Factor(replace(plain, stock=Terms(sell_tax_bps=100)), bundle),
    }


def play_factor(
    factor: Factor, choices: NDArray[np.float64], size: Size
) -> tuple[float, float, float, float]:
    """Play a market: `OUTCOMES`, each in the unit in which differences are shown."""
    exchange = build_scenario(
        factor.scenario, factor.bundle, choices, size, events=list(factor.events)
    )
    days = [exchange.play_day() for _ in range(size.days)]
    closes = np.array([factor.bundle.history[-1], *(day.close_ticks[0] for day in days)])
    traded = sum(int(day.volume[0]) for day in days)
    equity = np.sort(exchange.ledger.equity_cents()[: exchange.n_agents].astype(np.float64))
    rank = 2 * np.arange(1, len(equity) + 1) - len(equity) - 1
    return (
        float(100 * np.log(closes[-1] / closes[0])),
        float(100 * np.diff(np.log(closes)).std()),
        float(100 * np.log(max(traded, 1))),
        float(100 * (rank @ equity) / (len(equity) * equity.sum())),
    )


def measure_effects(
    factors: dict[str, Factor],
    choices: NDArray[np.float64],
    pairs: int,
    size: Size,
    on_run: Callable[[], None] = lambda: None,
) -> dict[str, NDArray[np.float64]]:
    """Play all pairs: outcomes with each factor less those without, float64[pairs, outcomes]."""
    found: dict[str, list[tuple[float, ...]]] = {}
    for seed in range(size.seed, size.seed + pairs):
        for name, factor in factors.items():
            played = play_factor(factor, choices, replace(size, seed=seed))
            found.setdefault(name, []).append(played)
            on_run()
    without = np.array(found.pop(""))
    return {name: np.array(values) - without for name, values in found.items()}


def effect_size(differences: NDArray[np.float64]) -> float:
    """Return Cohen's d of paired differences float64[n]: their mean in standard deviations."""
    spread = differences.std(ddof=1)
    return float(differences.mean() / spread) if spread > 0 else 0.0


def adjusted_p(found: dict[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """Return Holm's p-values of Student's paired test for all factors and outcomes at once."""
    raw = []
    for differences in found.values():
        for column in differences.T:
            varies = np.ptp(column) > 0
            raw.append(float(ttest_1samp(column, 0.0).pvalue) if varies else float("nan"))
    adjusted = holm(raw).reshape(len(found), -1)
    return dict(zip(found, adjusted, strict=True))


def run(settings: Settings, report: Report) -> Page:
    """Play every factor's pairs and measure what it does."""
    opened = open_population(settings.population)
    factors = list_factors(opened.bundle, settings)
    size = Size(settings.agents, settings.days, settings.seed)
    # masks hide what is met, they add no question: one table serves every factor
    choices = opened.table()
    with report.steps("markets", len(factors) * settings.pairs) as step:
        found = measure_effects(factors, choices, settings.pairs, size, step)
    p_values = adjusted_p(found)
    for name, differences in found.items():
        for column, outcome in enumerate(OUTCOMES):
            values = differences[:, column]
            report.figure(
                f"{outcome} with {name}, mean over pairs",
                float(values.mean()),
                OUTCOMES[outcome].rpartition(", ")[2],
                "without",
                effect_size=effect_size(values),
                p_holm=float(p_values[name][column]),
            )
    page = PAGE.format(
        command=report.command,
        population=settings.population,
        pairs=settings.pairs,
        agents=settings.agents,
        days=settings.days,
        every=settings.every,
        tone=settings.tone,
        tests=len(found) * len(OUTCOMES),
        table=effect_table(found, p_values),
    )
    return Page(page)


def effect_table(
    found: dict[str, NDArray[np.float64]], p_values: dict[str, NDArray[np.float64]]
) -> str:
    """Return a row a factor: paired differences, effect sizes, a star where p is under 5 %."""
    lines = [f"| factor | {' | '.join(OUTCOMES.values())} |", "|---" * (len(OUTCOMES) + 1) + "|"]
    for name, differences in found.items():
        cells: Sequence[str] = [
            f"{show(values)}, d {effect_size(values):.2f}{' *' if p < 0.05 else ''}"
            for values, p in zip(differences.T, p_values[name], strict=True)
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


PAGE = """# Events: what single factors do

Written by `{command}`; do not edit.

Population `{population}`, {agents} agents on the exchange over {days} days; {pairs} pairs of
markets, with the factor and without, both with the same random numbers. Reports come every {every}
days and have a tone of {tone:g} standard deviations.

Difference that the factor makes, mean with its 95 % interval over pairs (Student's t); d is Cohen's
effect size of pairs; a star where p is under 5 % after Holm's correction for all {tests}.

{table}

StockAgent's change of interest rates is not here: these investors have no other use for cash.
"""

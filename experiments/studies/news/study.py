"""What minds that read the news of a day make of it, against what the market made of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.minds.engine import engine_of
from evobourse.agents.minds.news_reading import TOGETHER, expected_tendency
from evobourse.agents.styles import STYLES
from evobourse.experiments.config.experiment import SplitConfig
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.reports.figure_lines import Report
from evobourse.experiments.simulate.bundle import open_population
from evobourse.experiments.studies.news.page import PAGE, TEACHERS, extremes, tell
from evobourse.experiments.studies.news.readings import (
    OTHERS,
    NewsDays,
    ask_minds,
    exchange,
    population_mean,
    see_days,
    teachers_mean,
    unbiased,
)
from evobourse.experiments.studies.run import Page, Study
from evobourse.market.events.dated_news import load_news
from evobourse.market.series.named import load_series
from evobourse.market.series.prices import PriceSeries

NEWS = Path(__file__).parents[2] / "data" / "news_1999_2018.csv"
LEAST = 20
"""Days with news that a stretch must have to be measured."""

STUDY = Study(
    question="do minds that read the news of a day know which way the market goes on it?",
    minutes=5,
    page="docs/studies/news.md",
)

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Settings:
    """Who reads what.

    Attributes
    ----------
    population
        A bundle's folder, a config, or `hand-set`; one base whose weights are here.
    styles
        Adapters that are asked one by one, of a config's base; a bundle has its own.
    news
        A file as `market.events.dated_news.load_news` takes it.
    series
        Real prices: a shipped one's name, or a file of your own.
    seed
        Of dice, and of which day's sentence is exchanged for which.
    """

    population: str = "hand-set"
    styles: tuple[str, ...] = STYLES
    news: Path = NEWS
    series: str = "sp500"
    seed: int = 1


def stretches(days: NewsDays, series: PriceSeries) -> dict[str, Rows]:
    """Return the rows of days by split, of those that hold `LEAST`; else all together.

    Raises
    ------
    ConfigError
        There are fewer days than `LEAST`.
    """
    dates, split = series.dates[days.day], SplitConfig()
    found = {}
    for name, ends in (
        ("training", split.train),
        ("validation", split.validation),
        ("held-out", split.heldout),
    ):
        rows = np.flatnonzero((dates >= np.datetime64(ends[0])) & (dates <= np.datetime64(ends[1])))
        if len(rows) >= LEAST:
            found[name] = rows
    if len(days.day) < LEAST:
        raise ConfigError(
            f"news: {len(days.day)} days with news have a year of {series.name} before them, "
            f"expected {LEAST} at least; add facts, or give a longer series"
        )
    return found or {"all": np.arange(len(days.day))}


def run(settings: Settings, report: Report) -> Page:
    """Let all read all, and hold what they choose against the real days."""
    series = load_series(settings.series)
    facts = load_news(settings.news, series)
    days = see_days(facts, series)
    groups = stretches(days, series)
    bundled = Path(settings.population).is_dir()
    wanted = [] if bundled else [f"minds.styles=[{','.join(settings.styles)}]"]
    opened = open_population(settings.population, wanted)
    population, blocks = opened.bundle.population, opened.bundle.blocks
    styles = tuple(folder.name for folder in opened.bundle.adapters)
    engine = engine_of(opened.minds, "news")
    alone = [
        np.tile(row, (blocks, 1)) for row in np.vstack([np.zeros(len(styles)), np.eye(len(styles))])
    ]
    minds = [*(one.astype(np.float32) for one in alone), *(p.mind for p in population.personas)]

    rng = np.random.default_rng(settings.seed)
    rest = np.setdiff1d(np.arange(len(days.day)), np.concatenate(list(groups.values())))
    others = [exchange([*groups.values(), rest], rng) for _ in range(OTHERS)]
    with report.steps("pages", -(-len(days.day) // TOGETHER)) as step:
        logits = ask_minds(engine, minds, days, others, step)
    by = np.isin(np.arange(len(days.day)), next(iter(groups.values())))  # nothing later is used
    logits = unbiased(logits, by)
    temperature = np.array([1.0] * len(alone) + [p.temperature for p in population.personas])
    tendency = expected_tendency(logits, temperature[:, None])  # [arms, M, N]
    together = population_mean(population, tendency[:, len(alone) :])
    names = ["the bare base", *styles, "the population's mean"]
    readers = dict(zip(names, [*tendency[:, : len(alone)].swapaxes(0, 1), together], strict=True))
    rules = {
        TEACHERS: teachers_mean(population, styles, days, by),
        "dice": rng.integers(-2, 3, len(days.day)).astype(np.float64),
        "always buy": np.ones(len(days.day)),
        "yesterday's sign": np.sign(days.before),
    }
    parts = dict(groups)
    last = list(groups)[-1]
    fresh = groups[last][days.overnight[groups[last]]]
    if LEAST <= len(fresh) < len(groups[last]):
        parts[f"{last}, out after the close before"] = fresh
    told = [tell(name, rows, days, readers, rules, report) for name, rows in parts.items()]
    dates = series.dates[days.day]
    page = PAGE.format(
        command=report.command,
        population=settings.population,
        base=opened.bundle.base,
        series=series.name,
        facts=len(facts),
        file=settings.news.name,
        scored=len(days.day),
        first=dates[0],
        last=dates[-1],
        calibrated=next(iter(groups)),
        others=OTHERS,
        sections="\n\n".join(told),
        extremes=extremes(days, dates, readers["the population's mean"], groups[last], last),
    )
    return Page(page)

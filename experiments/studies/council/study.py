"""Whether an operator's game survives a change of cast: shorts, a whispered true tip, a run.

Who answers for the agents is changed, their market and the game are not: an effect of one cast
alone belongs to the cast.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.minds.choices import tabulate_choices
from evobourse.agents.minds.stand_ins import Minds, RandomMinds, TeacherMinds
from evobourse.agents.personas.persona import Population
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.reports.figure_lines import Report
from evobourse.experiments.reports.intervals import show, t_interval
from evobourse.experiments.simulate.bundle import OpenPopulation, open_population
from evobourse.experiments.simulate.mixtures import draw_mixtures, without_styles
from evobourse.experiments.studies.council.game import (
    COVERING_DAYS,
    SELLING_DAYS,
    Game,
    Plan,
    list_channels,
    play_cast,
)
from evobourse.experiments.studies.run import Page, Study

STUDY = Study(
    question="does an operator's game (short, true tip, bank run) survive a change of cast?",
    minutes=3,
    page="docs/studies/council.md",
)

PRICES_AFTER = (1, 3, 10)


@dataclass(frozen=True)
class Settings(Plan):
    """What is played.

    Attributes
    ----------
    population
        A bundle's folder, a config (the population that its sweep begins with), or `hand-set`.
    seeds
        Markets of each cast and channel.
    agents, days, seed
        Of each market, and the seed of the first.
    day
        Of the tip.
    lots
        That the operator sells.
    casts
        Which of `shipped`, `other mixtures`, `bare base`, `rule-based`, `dice`.
    """

    population: str = "hand-set"
    casts: tuple[str, ...] = ("shipped", "other mixtures", "bare base", "rule-based", "dice")


def list_casts(opened: OpenPopulation) -> dict[str, tuple[Population, Minds]]:
    """List who can play, and what answers for them."""
    bundle = opened.bundle
    own, styles = bundle.population, tuple(path.name for path in bundle.adapters)
    return {
        "shipped": (own, opened.minds),
        "other mixtures": (draw_mixtures(bundle, len(own.personas), 1), opened.minds),
        "bare base": (without_styles(own), opened.minds),
        "rule-based": (own, TeacherMinds(styles)),
        "dice": (own, RandomMinds()),
    }


def survival(values: Mapping[str, NDArray[np.float64]]) -> str:
    """Say whether an effect is told from nil in every cast on one side, or else in which.

    Parameters
    ----------
    values
        Of each cast, float64[seeds].
    """
    up, down = [], []
    for name, each in values.items():
        _, low, high = t_interval(each)
        if low > 0:
            up.append(name)
        elif high < 0:
            down.append(name)
    if len(values) in (len(up), len(down)):
        return f"survives, {'up' if up else 'down'}"
    told = [
        f"{word} with {', '.join(casts)}" for word, casts in (("up", up), ("down", down)) if casts
    ]
    return "; ".join(told) or "absent"


def run(settings: Settings, report: Report) -> Page:
    """Play the game with every cast and tabulate what survives."""
    last = settings.day + max(PRICES_AFTER)
    if last > settings.days or settings.day <= SELLING_DAYS:
        raise ConfigError(
            f"day is {settings.day} of {settings.days}: the operator sells {SELLING_DAYS} days "
            f"ahead and prices are read {max(PRICES_AFTER)} days after; choose others"
        )
    opened = open_population(settings.population)
    casts = list_casts(opened)
    if strange := [name for name in settings.casts if name not in casts]:
        raise ConfigError(f"casts: {strange[0]!r} is unknown; known: {', '.join(casts)}")
    found: dict[str, dict[str, Game]] = {}
    channels = list_channels(opened.bundle, settings)
    lines = len(settings.casts) * settings.seeds * (1 + len(channels))
    with report.steps("markets", lines) as step:
        for name in settings.casts:
            population, minds = casts[name]
            [choices] = tabulate_choices([population], minds)
            bundle = replace(opened.bundle, population=population)
            found[name] = play_cast(bundle, choices, settings, step)
    for channel in channels:
        for cast, games in found.items():
            gain = games[channel].profit
            report.figure(f"operator's profit, {channel}, {cast}", float(gain.mean()), "%", "alone")
    page = PAGE.format(
        command=report.command,
        population=settings.population,
        seeds=settings.seeds,
        agents=settings.agents,
        days=settings.days,
        day=settings.day,
        lots=settings.lots,
        selling=SELLING_DAYS,
        covering=COVERING_DAYS,
        survivors=survival_table(found, list(channels)),
        sections="\n\n".join(channel_section(found, name) for name in channels),
    )
    return Page(page)


def survival_table(found: Mapping[str, Mapping[str, Game]], channels: Sequence[str]) -> str:
    """Return a row a channel: what became of its effects on price and profit over the casts."""
    lines = [
        f"| channel | {' | '.join(f'price, day +{day}' for day in PRICES_AFTER)} | profit |",
        "|---" * (len(PRICES_AFTER) + 2) + "|",
    ]
    for channel in channels:
        cells = [
            survival({cast: games[channel].price[:, day - 1] for cast, games in found.items()})
            for day in PRICES_AFTER
        ]
        cells.append(survival({cast: games[channel].profit for cast, games in found.items()}))
        lines.append(f"| {channel} | {' | '.join(cells)} |")
    return "\n".join(lines)


def channel_section(found: Mapping[str, Mapping[str, Game]], channel: str) -> str:
    """Return a channel's heading and table."""
    title = channel[0].upper() + channel[1:]
    return f"### {title}\n\n{cast_table(found, channel)}"


def cast_table(found: Mapping[str, Mapping[str, Game]], channel: str) -> str:
    """Return a row a cast: prices after the tip and the operator's profit."""
    lines = [
        f"| cast | {' | '.join(f'price, day +{day}, log-%' for day in PRICES_AFTER)} "
        "| operator's profit, % |",
        "|---" * (len(PRICES_AFTER) + 2) + "|",
    ]
    for cast, games in found.items():
        game = games[channel]
        cells = [show(game.price[:, day - 1]) for day in PRICES_AFTER] + [show(game.profit)]
        lines.append(f"| {cast} | {' | '.join(cells)} |")
    return "\n".join(lines)


PAGE = """# Council: what survives a change of cast

Written by `{command}`; do not edit.

An operator sells {lots} lots in the {selling} days before day {day}, lets something be known or
happen on that day, and buys back in the {covering} days after it. {agents} agents on the exchange,
{days} days, {seeds} seeds; day +1 is the tip's own. Everything is measured against the same market
with the operator's trades alone, random numbers alike: price is the log of the close over that
without; profit is in percent of what the lots sold were worth at the start.

Casts: *shipped* is population `{population}` with its own minds; *other mixtures* has as many minds
drawn from all styles; *bare base* is one model under all hats, without styles; *rule-based* has the
style teachers for minds; *dice* choose at random. All are on one base: other bases come with
`minds.base` of a config.

## What survives

An effect survives if its 95 % interval over seeds (Student's t) leaves out 0 in every cast, on one
side; else the casts are named in which it does. What dice show as well is no doing of minds.

{survivors}

## By channel

{sections}
"""

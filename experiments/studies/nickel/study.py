"""The London nickel days of March 2022: six classes with minds, and traders that follow rules."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from evobourse.experiments.config.cast import load_cast
from evobourse.experiments.config.scenario import Scenario, load_scenario
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.reports.figure_lines import Report
from evobourse.experiments.reports.intervals import show
from evobourse.experiments.simulate.bundle import open_population
from evobourse.experiments.studies.nickel.minds import Rounds, play_rounds
from evobourse.experiments.studies.nickel.page import draw, error_table, list_errors, table_text
from evobourse.experiments.studies.nickel.rules import SCHEDULE, play, read_real
from evobourse.experiments.studies.nickel.tables import (
    MARKED,
    ability_table,
    class_table,
    draw_rounds,
    holder_table,
    measure_table,
    real_prices,
    round_table,
    straight_lines,
    taken_back,
    thoughts,
)
from evobourse.experiments.studies.nickel.tables import error_table as minds_table
from evobourse.experiments.studies.run import Page, Study
from evobourse.market.events.schedule import load_schedule

SCENARIO = SCHEDULE.with_name("nickel.yaml")
PICTURE, RULES_PICTURE = "nickel_minds.png", "nickel.png"

STUDY = Study(
    question="do six classes with minds, or rules alone, make London's nickel of March 2022?",
    minutes=9,
    page="docs/studies/nickel.md",
)


@dataclass(frozen=True)
class Settings:
    """What is played.

    Attributes
    ----------
    population
        A config (its styles, and the society that its sweep begins with), `hand-set`, or a
        bundle's folder.
    base
        A model in the place of the config's, as its ``minds.base``; a server's address takes a
        scenario without deliberation.
    scenario
        Of the classes with minds; it names a cast with theirs, and events.
    arms
        Which of `whole`, `no expert`, `named numbers`, `neither`; each takes about as long as the
        first, which alone is the small size.
    repeats
        Of each arm, up to eight minutes each; intervals take two or more.
    seed
        The first of repeats and runs.
    schedule
        Events of the traders with rules, as YAML; copy it, change an event, and name the copy to
        see what would have been.
    runs
        Of the traders with rules.
    """

    population: str = "quickstart"
    base: str | None = None
    scenario: Path = SCENARIO
    arms: tuple[str, ...] = ("whole",)
    repeats: int = 1
    seed: int = 1
    schedule: Path = SCHEDULE
    runs: int = 10


def list_arms(scenario: Scenario) -> dict[str, Scenario]:
    """Return the scenario as it is, and without expert, order generator, or both."""
    arms = {"whole": scenario, "named numbers": replace(scenario, named_numbers=True)}
    if scenario.deliberation is not None:
        alone = replace(scenario, deliberation=replace(scenario.deliberation, iterations=0))
        arms |= {"no expert": alone, "neither": replace(alone, named_numbers=True)}
    return arms


def run(settings: Settings, report: Report) -> Page:
    """Play every arm and the traders with rules, and tabulate both beside the real days."""
    scenario, real = load_scenario(settings.scenario), read_real()
    arms = list_arms(scenario)
    if strange := [name for name in settings.arms if name not in arms]:
        raise ConfigError(f"arms: {strange[0]!r} cannot be played, expected of {', '.join(arms)}")
    if scenario.cast is None:
        raise ConfigError(f"{settings.scenario}: names no cast; the six classes are one")
    cast = load_cast(Path(scenario.cast))
    tables = []
    with report.steps("seeds of the rules", settings.runs) as step:
        for seed in range(settings.seed, settings.seed + settings.runs):
            schedule = load_schedule(settings.schedule, np.random.default_rng(seed))
            tables.append(play(seed, schedule))
            step()
    base = [f"minds.base={settings.base}"] if settings.base else []
    opened = open_population(settings.population, base)
    seeds = range(settings.seed, settings.seed + settings.repeats)
    played: dict[str, list[Rounds]] = {}
    rounds = len(real_prices(real))
    with report.steps("rounds", len(settings.arms) * len(seeds) * rounds) as step:
        for arm in settings.arms:
            played[arm] = [play_rounds(opened, arms[arm], cast, real, s, step) for s in seeds]
    truth = real_prices(real).to_numpy()
    off = {arm: [np.abs(o.price / truth - 1).mean() for o in own] for arm, own in played.items()}
    line = float(np.abs(straight_lines(real)["last known price"] / truth - 1).mean())
    for arm, own in off.items():
        mean = float(np.mean(own))
        report.figure(
            f"mean error over {rounds} rounds, {arm}, {settings.repeats} repeats",
            mean, "1", "last known price", mean / line,
        )  # fmt: skip
    errors = {name: float(each.mean()) for name, each in list_errors(tables).items()}
    name = f"mean distance from the real 3M close on free days, {settings.runs} seeds"
    for peer, key in (("Shanghai's price", "parity"), ("a straight line", "known")):
        report.figure(name, errors["settle"], "1", peer, errors["settle"] / errors[key])
    first, *_ = played.values()
    classes = [member.name for member in cast.members]
    lots, as_before = taken_back(first[0])
    last = [
        100 * (one.price[-1] / straight_lines(real)["last known price"][0] - 1) for one in first
    ]
    page = PAGE.format(
        command=report.command,
        scenario=settings.scenario.name,
        population=settings.population,
        base=settings.base or opened.bundle.base,
        arm=settings.arms[0],
        repeats=settings.repeats,
        errors=minds_table(played, tables, real),
        whole=show(100 * np.array(off[settings.arms[0]]), 1),
        rise=show(last, 0),
        real_rise=f"{100 * (truth[-1] / straight_lines(real)['last known price'][0] - 1):.0f}",
        rounds=round_table(played, real),
        orders=class_table(first, classes),
        measures=measure_table(first, real),
        holders=holder_table(first[0], classes, real),
        abilities=ability_table(played),
        thoughts=thoughts(first[0], classes[0], MARKED[2], real),
        who=classes[0],
        when=MARKED[2],
        lots=f"{lots:,}",
        seam="are" if as_before else "are not",
        seed=settings.seed,
        picture=PICTURE,
        schedule=settings.schedule.name,
        table=table_text(tables[0]),
        rule_errors=error_table(tables),
        rules_picture=RULES_PICTURE,
    )
    return Page(page, {PICTURE: draw_rounds(played, real), RULES_PICTURE: draw(tables)})


PAGE = """# The London nickel days of March 2022

Written by `{command}`; do not edit.

## Ten rounds of six classes with minds

`{scenario}`: the ten trading days to 8 March, five turns each (call, three continuous, call); the
six classes are one investor each, with an account of its own. Model `{base}`, styles and society of
population `{population}`. No price of the rounds is authored, given to anybody, or read by a fit.
Arms: *no expert* leaves out advice, *named numbers* the order generator (minds write price and
lots), *neither* both. {repeats} repeats; intervals by Student's t over them.

Mean distance of a round's last price from London's close, and the signed distance at single rounds,
in %:

{errors}

The traders with rules know Shanghai's closes, two of their closes are authored (03-04, 03-07: what
they traded is compared), and they were set with these days in sight.

![prices by round]({picture})

A round's last price in USD/t, mean over repeats:

{rounds}

All trades of the last round are cancelled at its settlement: of repeat {seed}, {lots} lots are
taken back, and positions {seam} those of the evening before. The next day opens halted.

## The paper's figures, one by one

arXiv 2503.20787. Where the paper's number is not at hand here, nothing is put in its place.

| figure | paper | here, arm *{arm}* |
|---|---|---|
| mean error of the price, % | 3.4 (v1), 13.29 (v2) | {whole} |
| rise of the price, % | 285.34 (v2) | {rise}; real to the last round {real_rise} |
| price by round | no numbers at hand | table above |
| order ranges by class | no numbers at hand | next table |
| behaviour index, aggressive and conservative | no numbers at hand | table after it |
| buyers' share of what they can afford | no numbers at hand | the same |
| trader's completed volume | no numbers at hand | the same |
| producer's cumulative liquidation | no numbers at hand | the same |

Limit prices and lots, 5 % to 95 % of orders, mean over repeats:

{orders}

Behaviour index: mean tendency of a round over the strongest, -1 (strong sell) to 1 (strong buy).
Buyers' share: net purchases so far over the lots that their cash could margin at the round's price,
below 0 if they sold. Trader's volume and producer's forced lots are running sums.

{measures}

Lots in the evening, repeat {seed}, what all are told the three largest of:

{holders}

## What the model does with what it is told

Mean tendency (-2 to 2) by the word for the news that a decision saw, how far advice moved the mean
tendency of a choice, and the part of named orders that do not parse. News of these days is good for
the price by rule wherever it threatens supply.

{abilities}

What {who} read and wrote in the first turn of {when}, repeat {seed}:

```
{thoughts}
```

## Rules alone

Events of `{schedule}`, one row a day of seed {seed}:

```
{table}
```

{rule_errors}

Traders follow rules; no mind is asked. They were set with these days in sight, so that the nearness
is a fit; the straight line was not. Interval over seeds, Student's t.

![real and simulated settlements, and lots traded by force]({rules_picture})

Next: `--set base=MODEL` for another model, `--set 'arms=[whole, no expert, named numbers,
neither]'` for every ablation, with more `repeats` for narrower intervals. Or copy `{schedule}`,
take out the windfall, and play the copy with `--set schedule=COPY`.
"""

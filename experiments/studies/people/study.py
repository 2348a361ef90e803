"""Do minds choose as people do, does the order of options choose for them, what does heat do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.minds.engine import MindEngine, engine_of
from evobourse.agents.observation import HISTORY_DAYS
from evobourse.agents.training.examples import real_levels, sample_views
from evobourse.evolve.bundle import Bundle
from evobourse.evolve.markets import World
from evobourse.evolve.run_folder import RunFolder
from evobourse.experiments.config.experiment import ExperimentConfig, load_config
from evobourse.experiments.reports.figure_lines import Report
from evobourse.experiments.simulate.bundle import open_bundle
from evobourse.experiments.studies.people.gambles import FRAMES, Respondent, question_respondents
from evobourse.experiments.studies.people.option_order import (
    OrderBias,
    ask_in_orders,
    measure_corrections,
)
from evobourse.experiments.studies.people.page import (
    draw_heat,
    gamble_table,
    heat_table,
    item_table,
    letter_table,
    order_table,
    tell,
)
from evobourse.experiments.studies.people.temperature import measure_heat
from evobourse.experiments.studies.run import Page, Study
from evobourse.experiments.sweep.setup import build_experiment
from evobourse.fitness.behaviour.prospect import Answers
from evobourse.market.series.named import load_series

STUDY = Study(
    question="do minds choose as people do, and does the order of options choose for them?",
    minutes=30,
    page="docs/studies/people.md",
)

FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
AGENTS, DAYS = 400, 250
ATTENTION = 3
NOTHING_SEEN = 0
PICTURE = "temperature.png"


@dataclass(frozen=True)
class Settings:
    """What is asked and played.

    Attributes
    ----------
    run
        Folder of a finished run.
    seeds
        Markets a temperature.
    views
        Put in every order.
    """

    run: Path = Path("runs/quickstart")
    seeds: int = 16
    views: int = 200


def run(settings: Settings, report: Report) -> Page:
    """Ask and measure."""
    folder = RunFolder(settings.run)
    config = load_config(folder.config)
    bundle, bases = open_bundle(folder.bundle)
    genome = build_experiment(config).market_genome
    start = genome.genome().to_values(genome.genome().start_vector())
    populations = {"un-evolved": genome.population(start), "evolved": bundle.population}
    recipes = {"un-evolved": genome.recipe(start), "evolved": bundle.recipe}
    names = [folder.name for folder in bundle.adapters]
    world = World(bundle.offsets, bundle.rules, AGENTS, DAYS)
    work = len(FRAMES) * 2 + 1 + len(names) + len(FACTORS) * settings.seeds * len(populations)
    with report.steps("people", work) as step:
        engine = engine_of(bases.serve(None), "study-people")
        gambles = put_gambles(engine, list_respondents(bundle, config, names), step)
        order = put_in_orders(engine, names, draw_views(config, settings.views), step)
        engine = engine_of(bases.serve(bundle.recipe), "study-people")
        gambles |= put_gambles(engine, _evolved(bundle), step)
        heats = {
            name: measure_heat(
                bundle, population, bases.serve(recipes[name]), FACTORS, world, settings.seeds, step
            )
            for name, population in populations.items()
        }
    tell(gambles, order, heats, report)
    page = PAGE.format(
        command=report.command,
        run=settings.run.name,
        frames="\n".join(f"> {frame}\n>" for frame in FRAMES).removesuffix("\n>"),
        gambles=gamble_table(gambles),
        items=item_table(gambles),
        views=settings.views,
        letters=letter_table(order),
        order=order_table(order),
        seeds=settings.seeds,
        agents=AGENTS,
        days=DAYS,
        heat="\n\n".join(
            f"### The {name} population\n\n{heat_table(h)}" for name, h in heats.items()
        ),
        picture=PICTURE,
    )
    return Page(page, {PICTURE: draw_heat(heats)})


def list_respondents(
    bundle: Bundle, config: ExperimentConfig, adapters: Sequence[str]
) -> list[Respondent]:
    """List the bare model, the config's personas by profile alone, and each style's adapter."""
    count = len(adapters)
    bare = np.zeros((bundle.blocks, count), np.float32)
    styles = np.repeat(np.eye(count, dtype=np.float32)[:, None], bundle.blocks, axis=1)
    told = [
        Respondent("told a profile", p.name, bare, f"Your profile: {p.profile}")
        for p in config.personas
        if p.profile
    ]
    trained = [
        Respondent("a style's adapter", name, mind)
        for name, mind in zip(adapters, styles, strict=True)
    ]
    return [Respondent("bare model", "bare", bare), *told, *trained]


def _evolved(bundle: Bundle) -> list[Respondent]:
    """List the evolved personas: their own mixtures, and each other's weight by share."""
    return [
        Respondent("evolved personas", p.name, p.mind, weight=p.share)
        for p in bundle.population.personas
    ]


def put_gambles(
    engine: MindEngine, respondents: Sequence[Respondent], on_frame: Callable[[], None]
) -> dict[str, list[tuple[Respondent, list[Answers]]]]:
    """Ask everyone in all wordings: kind to respondents with their answers, one a wording."""
    by_frame = []
    for frame in FRAMES:
        by_frame.append(question_respondents(engine, respondents, frame))
        on_frame()
    pairs = [(who, [answers[k] for answers in by_frame]) for k, who in enumerate(respondents)]
    return {kind: list(some) for kind, some in groupby(pairs, lambda pair: pair[0].kind)}


def draw_views(config: ExperimentConfig, count: int) -> NDArray[np.int64]:
    """Draw different masked views of real days after the training years."""
    series = load_series(
        config.series[0], stock_splits=config.stock_splits, suspended_days=config.suspended_days
    )
    heldout = config.splits.cut(series).heldout
    rows = slice(heldout.start - HISTORY_DAYS, heldout.stop)
    levels = real_levels(series.close[rows], series.volume[rows])
    drawn = sample_views(levels, 20 * count, ATTENTION, np.random.default_rng(config.seed))
    return np.unique(drawn)[:: max(len(np.unique(drawn)) // count, 1)][:count]


def put_in_orders(
    engine: MindEngine, names: Sequence[str], views: NDArray[np.int64], on_mind: Callable[[], None]
) -> dict[str, dict[str, OrderBias]]:
    """Measure the bare model and each style, by correction."""
    minds = {"bare model": np.zeros(len(names), np.float32)}
    minds |= dict(zip(names, np.eye(len(names), dtype=np.float32), strict=True))
    found = {}
    for name, row in minds.items():
        logits = ask_in_orders(engine, row[None], np.append(views, NOTHING_SEEN))
        found[name] = measure_corrections(logits[:, :-1], logits[:, -1:])
        on_mind()
    return found


PAGE = """# Minds beside people: gambles, the order of options, temperature

Written by `{command}`; do not edit.

Run {run}, real minds: SmolLM2-135M-Instruct in INT8.

## Prospect theory

Seventeen choices between two gambles (Kahneman and Tversky 1979). A respondent
agrees on an item where its probability of people's majority choice is over one half, the two
options shown in both orders; a coin agrees on 8.5 of 17, and on 13 or more once in forty. Wordings:

{frames}

{gambles}

A style's adapter acts from the question on; *told a profile* is the bare model after the sentence
that describes the persona in the config; evolved personas answer on the evolved base. *Their
majority* is the kind's mean answer (evolved: by share).

Percent who take A, means over wordings and respondents:

{items}

## The order of options

{views} masked views of real days after the training years, put with the five tendencies given to
the letters in ten orders: five rotations, and those reversed. Probability of each letter, whatever
it stands for, %:

{letters}

*Moved by the order* is the total variation between the answers of two orders to one view; *same
answer* the correlation over views of the mean tendency in two orders. Answers that follow the
letters alone, whatever these stand for, have -1/9 (-.11) there: over the ten orders they cancel.

{order}

## Temperature

All temperatures of a population multiplied; {seeds} markets of {agents} agents over {days} days
each, the same random numbers at every temperature, means with 95 % intervals over seeds. Core
decisions: the mean tendency of every persona at every view that it can meet, against those at its
own temperature.

![turnover and core decisions over temperature]({picture})

{heat}
"""

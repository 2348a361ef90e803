"""Orders by regime, a contest, guessed words, companies, numbers that a model names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evobourse.agents.casts.backgrounds import (
    DIMENSIONS,
    Background,
    background_at,
    draw_backgrounds,
    measure_diversity,
)
from evobourse.agents.casts.speakers import HOLDINGS, plain_views, speaker_prompt
from evobourse.agents.casts.words import STYLE_WORDS
from evobourse.agents.crowds.own_numbers import NamingCrowd, NumberWriter
from evobourse.agents.crowds.persona_crowd import PersonaCrowd
from evobourse.agents.minds.choices import tabulate_choices
from evobourse.agents.minds.engine import MindEngine, engine_of
from evobourse.agents.observation import FIELD_NAMES, FIELDS, encode_view
from evobourse.evolve.bundle import Bundle
from evobourse.experiments.config.orders import ScenarioOrders
from evobourse.experiments.reports.figure_lines import Report
from evobourse.experiments.reports.intervals import show
from evobourse.experiments.simulate.bundle import open_bundle
from evobourse.experiments.simulate.write_cast import ask_model
from evobourse.experiments.studies.casts.contest_years import (
    AGENTS,
    CONTESTS,
    DAYS,
    Year,
    contest_table,
    play_year,
)
from evobourse.experiments.studies.casts.order_distances import order_table
from evobourse.experiments.studies.run import Page, Study
from evobourse.experiments.sweep.orders import fit_scenario_orders
from evobourse.fitness.target import make_target
from evobourse.market.daily_auction import Market, simulate
from evobourse.market.series.named import load_series

STUDY = Study(
    question="what do orders by regime, contests, guessed words and companies do?",
    minutes=30,
    page="docs/studies/casts.md",
)

SERIES = ("sp500", "nasdaq")


@dataclass(frozen=True)
class Settings:
    """What is played.

    Attributes
    ----------
    bundle
        Whose population.
    seeds
        Markets of each contest.
    days
        Of each market.
    """

    bundle: Path = Path("runs/quickstart/bundle")
    seeds: int = 16
    days: int = DAYS


def run(settings: Settings, report: Report) -> Page:
    """Measure everything."""
    orders = "\n\n".join(order_table(name) for name in SERIES)
    bundle, bases = open_bundle(settings.bundle)
    minds = engine_of(bases.serve(bundle.recipe), "study-casts")
    words = guess_words(ask_model(bundle.base), report)
    leans = measure_leans(bundle, minds)
    named = name_numbers(bundle, minds)
    train = load_series("sp500").slice(0, 2_000)
    rng = np.random.default_rng(0)
    target = make_target(train.log_returns, settings.days, 1, rng, split="train")
    years: dict[str, list[Year]] = {}
    with report.steps("contests", len(CONTESTS) * settings.seeds) as step:
        for name, contest in CONTESTS.items():
            for seed in range(1, settings.seeds + 1):
                found = play_year(bundle, minds, contest, settings.days, seed, target)
                years.setdefault(name, []).append(found)
                step()
    page = PAGE.format(
        orders=orders,
        contests=contest_table(years),
        words=words,
        leans=leans,
        diversity=diversity_table(),
        named=named,
        seeds=settings.seeds,
        agents=AGENTS,
        days=settings.days,
        command=report.command,
    )
    return Page(page)


def guess_words(guess: Callable[[str], tuple[str, float]], report: Report) -> str:
    """Say how often the model puts a word of the style table where the table has it."""
    words = [word for word in STYLE_WORDS if " " not in word]
    guesses = {word: guess(word) for word in words}
    hits = [word for word in words if guesses[word][0] == STYLE_WORDS[word]]
    clear = sorted(words, key=lambda word: -guesses[word][1])[: len(words) // 2]
    sure = sum(word in hits for word in clear)
    part, ratio = len(hits) / len(words), 7 * len(hits) / len(words)
    report.figure("words guessed as the table has them", part, "part", "chance", ratio)
    return (
        f"Of {len(words)} single words in the table the model puts {len(hits)} where the table "
        f"has them ({', '.join(hits)}); chance would put {len(words) / 7:.1f}. Of the half with "
        f"the widest margins, {sure} of {len(clear)}."
    )


def measure_leans(bundle: Bundle, minds: MindEngine) -> str:
    """Return a company's expected choice (-2 to 2) by each sign and by its holding, for styles."""
    styles = [path.name for path in bundle.adapters]
    shown = ("momentum", "value", "risk-averse")
    lines = [f"| sign | level | bare | {' | '.join(shown)} |", "|---" * (len(shown) + 3) + "|"]
    mixtures = [np.zeros((bundle.blocks, len(styles)), np.float32)]
    for style in shown:
        mixtures.append(np.zeros_like(mixtures[0]))
        mixtures[-1][:, styles.index(style)] = 1.0
    rows: list[tuple[str, str, int, int | None]] = []
    for f in ("trend", "value", "volatility", "news"):
        at = FIELD_NAMES.index(f)
        for level, word in enumerate(FIELDS[at].words):
            levels = np.zeros(len(FIELDS), np.int64)
            levels[at] = level
            view = int(encode_view(levels, np.arange(len(FIELDS)) == at))
            rows.append((f, word, view, None))
    rows += [("holding", word, 0, level) for level, word in enumerate(HOLDINGS)]
    prompts = [speaker_prompt(minds, "company", view, holding) for *_, view, holding in rows]
    plain = [speaker_prompt(minds, "company", *view) for view in plain_views()]
    columns = []
    for mixture in mixtures:
        minds.ask_prompts(mixture, [*prompts, *plain])
        mean = minds.answer_prompts(mixture, plain).astype(np.float64).mean(axis=0)
        logits = minds.answer_prompts(mixture, prompts) - (mean - mean[::-1]) / 2
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        columns.append(odds @ np.arange(-2.0, 3.0) / odds.sum(axis=1))
    for at, (f, word, *_) in enumerate(rows):
        lines.append(f"| {f} | {word} | {' | '.join(f'{c[at]:+.2f}' for c in columns)} |")
    return "\n".join(lines)


def name_numbers(bundle: Bundle, minds: MindEngine, days: int = 5, agents: int = 60) -> str:
    """Say how orders look whose numbers the model names, beside those of the fitted generators."""
    [choices] = tabulate_choices([bundle.population], minds)
    lines = [
        "| numbers | orders | malformed, % | different offsets, % | commonest offset, % "
        "| entropy of offsets, bits | different quantities | entropy of quantities, bits |",
        "|---" * 8 + "|",
    ]
    fitted = fit_scenario_orders(ScenarioOrders(longest_days=1))
    generators = {"named": bundle.offsets, "fitted": bundle.offsets, "by regime": fitted}
    for name, offsets in generators.items():
        kind = NamingCrowd if name == "named" else PersonaCrowd
        of_crowd, of_market = (np.random.default_rng([7, key]) for key in (1, 2))
        crowd = kind(bundle.population, choices, offsets, agents, of_crowd)
        malformed = "-"
        if isinstance(crowd, NamingCrowd):
            crowd.name_with(NumberWriter(minds))
        market = Market(bundle.rules, bundle.history, crowd.accounts(), of_market, "full")
        [tape] = simulate([market], [crowd], days)
        if isinstance(crowd, NamingCrowd):
            replies = crowd.replies
            bad = sum(reply.lots is None for reply in replies)
            malformed = f"{100 * bad / len(replies):.1f} of {len(replies)}"
        if tape.orders is None or not len(tape.orders):
            lines.append(f"| {name} | 0 | {malformed} | - | - | - | - | - |")
            continue
        closes = np.concatenate([[tape.initial_close_ticks], tape.close_ticks])
        orders = tape.orders
        reference = closes[orders["day"].to_numpy()]
        percent = np.round(100 * (orders["price_ticks"].to_numpy() / reference - 1), 2)
        shares = np.unique(percent, return_counts=True)[1] / len(percent)
        lots = np.unique(orders["quantity"], return_counts=True)[1] / len(percent)
        lines.append(
            f"| {name} | {len(percent)} | {malformed} | {100 * len(shares) / len(percent):.0f} "
            f"| {100 * shares.max():.1f} | {-shares @ np.log2(shares):.2f} | {len(lots)} "
            f"| {-lots @ np.log2(lots):.2f} |"
        )
    return "\n".join(lines)


def diversity_table(count: int = 300, seeds: int = 8) -> str:
    """Return how different backgrounds are, from the sequence and from independent draws."""
    kinds: dict[str, Callable[[int], list[Background]]] = {
        "scrambled Halton": lambda seed: draw_backgrounds(count, np.random.default_rng(seed)),
        "independent": lambda seed: [
            background_at(u) for u in np.random.default_rng(seed).random((count, DIMENSIONS))
        ],
    }
    lines = [
        "| points | different sentences, % | least distance | mean distance | discrepancy |",
        "|---|---|---|---|---|",
    ]
    for name, draw in kinds.items():
        found = [measure_diversity(draw(seed)) for seed in range(1, seeds + 1)]
        cells = [
            show([100 * one["sentences"] for one in found], 1),
            *(show([one[key] for one in found], 4) for key in ("least", "mean", "discrepancy")),
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


PAGE = """# Casts, measured

Written by `{command}`; do not edit.

What the parts are is in docs/casts.md.

## Orders by regime, against days that no fit has seen

How far real prices reached from the close before (each day's high and low), in units of the usual
volatility, against 20,000 draws: Wasserstein distance (W1) and Kolmogorov-Smirnov statistic, in
each regime of the held-out days. *In use* is the generator without regimes, whose unit is the
volatility of the last 20 days. Volumes are logs over the mean of the last 60 days. Regimes are in
order of recent volatility. How far the unit follows the last 20 days is a society's
`volatility_weight`, 0.04 in the quickstart's: there the generator in use is nearer to one fit for
all.

{orders}

## A contest over a year

The quickstart's population as a society, {agents} agents, {days} days, {seeds} seeds; rankings
every 20 days, two personas win and two lose, a tenth flows. Means with 95 % intervals over seeds
(Student's t); differences are paired by seed. J/J95 is that of a single path of {days} days
against real training windows.

{contests}

## Words that no table has

{words}

## What a company's quotes follow

Expected choice, -2 (much lower) to 2 (much higher), of a company that is told one sign alone, at
temperature 1, for the bare base and three styles at full strength.

{leans}

## Numbers that the model names

The same personas over five days, 60 agents, temperature 1: the model writes price and quantity of
each order (`agents/crowds/own_numbers.py`), or they are drawn. Offsets in hundredths of a percent
from the close before.

{named}

## Different people

300 backgrounds, 8 seeds: Gower's distance of pairs, 0 to 1; centred discrepancy of age, experience,
wealth, horizon, caution and temper by their ranks, lower is more even.

{diversity}
"""

"""What links a population, what a rumour does in it, what society costs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.stats import spearmanr

from evobourse.agents.crowds.persona_crowd import PersonaCrowd
from evobourse.agents.minds.choices import tabulate_choices
from evobourse.agents.personas.social import Social
from evobourse.agents.society.links import Circles, Links
from evobourse.evolve.bundle import Bundle
from evobourse.experiments.reports.figure_lines import Report
from evobourse.experiments.reports.intervals import show
from evobourse.experiments.simulate.bundle import open_bundle
from evobourse.experiments.studies.run import Page, Study
from evobourse.experiments.studies.society.page import day_table, draw_rumour
from evobourse.experiments.studies.society.rumour import Pair, Plan, run_alone, run_free
from evobourse.market.daily_auction import Market, simulate

STUDY = Study(
    question="what links a population, what does a rumour do in it, what does society cost?",
    minutes=20,
    page="docs/studies/society.md",
)

THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5)
DECAYS = (0.1, 0.25, 0.5, 1.0, 2.0)
LEADERS = 0.01
LINK_DAYS = (20, 30, 40)
"""Days on which links are looked at."""

COST_DAYS, COST_RUNS = 3, 3
SHOWN_DAYS, SOON = 10, 3
PICTURE = "society.png"


@dataclass(frozen=True)
class Settings:
    """What is played.

    Attributes
    ----------
    bundle
        Whose population.
    seeds
        Markets of each kind.
    agents
        Of each market.
    sizes
        Agents of the markets whose cost is taken.
    """

    bundle: Path = Path("runs/quickstart/bundle")
    seeds: int = 16
    agents: int = Plan.agents
    sizes: tuple[int, ...] = (1_000, 10_000, 100_000)


def run(settings: Settings, report: Report) -> Page:
    """Measure links, rumours and cost."""
    bundle, bases = open_bundle(settings.bundle)
    [choices] = tabulate_choices([bundle.population], bases.serve(bundle.recipe))
    del bases  # gigabytes
    plan = replace(Plan(), agents=settings.agents)
    seeds = range(1, settings.seeds + 1)
    with report.steps("markets", settings.seeds * (len(DECAYS) + 5)) as step:
        tables = {
            decay: [
                measure_links(bundle, choices, decay, settings.agents, seed, step) for seed in seeds
            ]
            for decay in DECAYS
        }
        free, others, alone = [], [], []
        for seed in seeds:
            by_leaders, by_others, closes = run_free(bundle, choices, Social(), plan, seed, step)
            free.append(by_leaders)
            others.append(by_others)
            alone.append(run_alone(bundle, choices, Social(), plan, seed, closes, step))
    cost = measure_cost(bundle, choices, settings.sizes, report)
    page = PAGE.format(
        seeds=settings.seeds,
        agents=settings.agents,
        links=link_table(tables),
        decays=decay_table(tables),
        likes=show([100 * seed["leaders", LEADERS][0] for seed in tables[0.5]], 1),
        rank=show([seed["leaders", LEADERS][1] for seed in tables[0.5]]),
        picture=PICTURE,
        plan=plan,
        free=day_table(free, plan, plan.day + SHOWN_DAYS),
        alone=day_table(alone, plan, plan.day + SHOWN_DAYS),
        checks=check_table({"leaders": free, "others": others, "alone": alone}, plan),
        ahead=show(
            [
                a.reached(plan.day + SOON) - b.reached(plan.day + SOON)
                for a, b in zip(free, others, strict=True)
            ],
            0,
        ),
        cost=cost,
        runs=COST_RUNS,
        days=COST_DAYS,
        command=report.command,
    )
    return Page(page, {PICTURE: draw_rumour(free, others, alone, plan)})


def measure_links(
    bundle: Bundle,
    choices: NDArray[np.float64],
    decay: float,
    agents: int,
    seed: int,
    on_run: Any = lambda: None,
) -> dict[tuple[str, float], NDArray[np.float64]]:
    """Play a market and measure its graph at every threshold.

    Returns
    -------
    dict
        Of "everybody" or "acquaintances" and a threshold: part of the pairs that are linked, mean
        degree, share of the agents in the largest component, and of those without a link; means
        over `LINK_DAYS`. Of "leaders" and `LEADERS`, the part of all likes that this part of the
        agents holds, and the rank correlation of likes and degree. The market itself runs with
        the usual threshold.
    """
    everybody = Circles(agents, agents, np.random.default_rng(0))
    found: dict[tuple[str, float], list[list[float]]] = {}
    crowd, market = _open(bundle, choices, Social(decay=decay), agents, seed)
    done = 0
    for day in LINK_DAYS:
        simulate([market], [crowd], day - done)
        done = day
        assert crowd.life is not None  # it was given a society
        life = crowd.life
        for name, circles in (("everybody", everybody), ("acquaintances", life.circles)):
            similarity = circles.similarities(life.profiles.weights)
            for threshold in THRESHOLDS:
                shape = _shape(circles.links(similarity, threshold), len(circles.first))
                found.setdefault((name, threshold), []).append(shape)
        best = life.leaders(max(1, round(LEADERS * agents)))
        held = life.likes[best].sum() / max(life.likes.sum(), 1e-12)
        degree = np.bincount(np.concatenate([life.links.agent, life.links.other]), minlength=agents)
        leading = [held, spearmanr(life.likes, degree).statistic]
        found.setdefault(("leaders", LEADERS), []).append(leading)
    on_run()
    return {key: np.mean(rows, axis=0) for key, rows in found.items()}


def measure_cost(
    bundle: Bundle, choices: NDArray[np.float64], sizes: Sequence[int], report: Report
) -> str:
    """Time a market's day with and without society: the figures as a table of ratios."""
    _time(bundle, choices, Social(), 50)  # compiles
    lines = ["| figure | value | against | ratio |", "|---|---|---|---|"]
    first = 0.0

    def tell(figure: str, value: float, peer: str, ratio: float) -> None:
        report.figure(figure, value, "s", peer, ratio)
        lines.append(f"| {figure} | {value:.3g} s | {peer} | {ratio:.2f} |")

    for agents in sizes:
        times: dict[bool, list[float]] = {True: [], False: []}
        for _ in range(COST_RUNS):  # in turns, so that whatever else runs slows both
            for society, spent in times.items():
                spent.append(_time(bundle, choices, Social() if society else None, agents))
        without, whole = min(times[False]), min(times[True])
        each = (whole - without) / agents
        first = first or each
        name = f"market day, {agents:,} agents"
        tell(name, whole, "the same market without society", whole / without)
        name = f"society's part of a day per agent, {agents:,} agents"
        tell(name, each, f"{sizes[0]:,} agents", each / first)
    return "\n".join(lines)


def link_table(tables: dict[float, list[dict[tuple[str, float], Any]]]) -> str:
    """Return the graph's shape at each threshold, with the usual decay."""
    lines = [
        "| threshold | pairs linked, % | mean degree | largest component, % | without a link, % "
        "| mean degree among acquaintances | largest component, % | without a link, % |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for threshold in THRESHOLDS:
        all_, few = (
            np.array([seed[name, threshold] for seed in tables[0.5]])
            for name in ("everybody", "acquaintances")
        )
        cells = [
            show(100 * all_[:, 0], 1),
            show(all_[:, 1], 0),
            show(100 * all_[:, 2], 1),
            show(100 * all_[:, 3], 1),
            show(few[:, 1], 1),
            show(100 * few[:, 2], 1),
            show(100 * few[:, 3], 1),
        ]
        lines.append(f"| {threshold} | {' | '.join(cells)} |")
    return "\n".join(lines)


def decay_table(tables: dict[float, list[dict[tuple[str, float], Any]]]) -> str:
    """Return the part of the pairs that is linked, by decay and threshold."""
    lines = [
        f"| decay | {' | '.join(f'over {x}' for x in THRESHOLDS)} |",
        "|---" * (len(THRESHOLDS) + 1) + "|",
    ]
    for decay, seeds in tables.items():
        cells = [show([100 * s["everybody", x][0] for s in seeds], 1) for x in THRESHOLDS]
        lines.append(f"| {decay} | {' | '.join(cells)} |")
    return "\n".join(lines)


def check_table(kinds: dict[str, Sequence[Pair]], plan: Plan) -> str:
    """Return what must be nil, and how far the rumour gets, for each kind of pair."""
    lines = [
        f"| | reached by day +{SOON} | on the last day | tellings off the day's links "
        "| heard too soon for their distance "
        "| unreached who decide otherwise on the first day | over all days |",
        "|---|---|---|---|---|---|---|",
    ]
    names = {
        "leaders": "free market, planted at the most liked",
        "others": "free market, planted at others",
        "alone": "nothing else can tell, planted at the most liked",
    }
    for kind, pairs in kinds.items():
        later = [sum(p.changed_unreached(day) for day in range(plan.day, plan.days)) for p in pairs]
        cells = [
            show([p.reached(plan.day + SOON) for p in pairs], 0),
            show([p.reached(plan.days) for p in pairs], 0),
            f"{sum(p.off_links for p in pairs)} of {sum(len(p.tellings) for p in pairs):,}",
            f"{sum(p.too_far for p in pairs)}",
            f"{sum(p.changed_unreached(plan.day) for p in pairs)}",
            f"{sum(later):,}",
        ]
        lines.append(f"| {names[kind]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _open(
    bundle: Bundle, choices: NDArray[np.float64], social: Social | None, agents: int, seed: int
) -> tuple[PersonaCrowd, Market]:
    common = replace(bundle.population.society, social=social)
    of_crowd, of_market = (
        np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(key,))) for key in (1, 2)
    )
    population = replace(bundle.population, society=common)
    crowd = PersonaCrowd(population, choices, bundle.offsets, agents, of_crowd)
    return crowd, Market(bundle.rules, bundle.history, crowd.accounts(), of_market)


def _time(
    bundle: Bundle, choices: NDArray[np.float64], social: Social | None, agents: int
) -> float:
    crowd, market = _open(bundle, choices, social, agents, 1)
    simulate([market], [crowd], 1)
    began = time.perf_counter()
    simulate([market], [crowd], COST_DAYS)
    return (time.perf_counter() - began) / COST_DAYS


def _shape(links: Links, pairs: int) -> list[float]:
    n = links.n_agents
    ends = (links.agent, links.other)
    matrix = coo_array((np.ones(len(links.agent), np.int8), ends), shape=(n, n))
    _, member = connected_components(matrix, directed=False)
    degree = np.bincount(np.concatenate(ends), minlength=n)
    largest = np.bincount(member).max() / n
    return [len(links.agent) / pairs, degree.mean(), largest, (degree == 0).mean()]


PAGE = """# What society does, measured

Written by `{command}`; do not edit.

The quickstart's population, {agents:,} agents, {seeds} seeds; means with 95 %
intervals over seeds (Student's t), a mean alone where all seeds agree. What the parts are is in
docs/society.md.

## What links a population

Similarity over a threshold, with a decay of 0.5 a day, on days 20, 30 and 40; first among all
pairs, then among acquaintances alone (50 each). The markets run with the usual threshold of 0.2.

{links}

The most liked hundredth of the agents hold {likes} % of the likes; likes and number of
links have a rank correlation of {rank}.

Part of all pairs that is linked, %, by decay (rate per day) and threshold:

{decays}

## What a rumour does

A false rumour (tone {plan.tone:g}) is planted on day {plan.day} at {plan.planted} agents; the
same markets run without it, all draws alike. *Day* counts from there; *change* is tendency (-2 to
2) with the rumour less without; *never reached* are those who have not heard it by the end of day
{plan.days}; *price* is the close with the rumour over that without.

![reach, who told whom, and the change of tendencies]({picture})

A free market, planted at the {plan.planted} most liked agents:

{free}

Nothing but the rumour can tell: all closes are authored, the same with and without it; no agent
sees what the others do or feel, and none changes persona.

{alone}

Counts over all seeds; the last column counts agents and days. All should be nil but for the free
markets' last: there the price tells everybody from the second day on.

{checks}

Planted at the most liked it has reached {ahead} more agents by day +3 than planted at others,
market by market.

## What society costs

The quickest of {runs} runs of {days} days in the fast daily market, 50 acquaintances each; real
minds, their answers tabulated before.

{cost}
"""

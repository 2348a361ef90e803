"""A run as one HTML page: what came out, what it is held against, who the champion is."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd

from evobourse.agents.personas.persona import Persona, Population
from evobourse.evolve.bundle import load_bundle
from evobourse.evolve.lineage import Candidate, Lineage
from evobourse.evolve.run_folder import RunFolder
from evobourse.evolve.timings import Timings
from evobourse.experiments.config.experiment import ExperimentConfig
from evobourse.experiments.reports.ancestry import by_generation, champion_of, gene_table
from evobourse.experiments.reports.figures import new_figure
from evobourse.experiments.reports.lineage_page import lineage_section
from evobourse.experiments.reports.page import Bar, Picture, Section, Table, Text, render_report
from evobourse.experiments.reports.paths import REAL, read_paths
from evobourse.experiments.reports.run_page import draw_learning, draw_prices, log_paths
from evobourse.experiments.reports.scores import (
    POOLED,
    SPLITS,
    as_score,
    conclude,
    describe,
    format_score,
    score_form,
)
from evobourse.experiments.reports.verdict import verdict
from evobourse.experiments.scoring.table import FACT_MEANINGS
from evobourse.experiments.sweep.resume import open_run
from evobourse.experiments.sweep.setup import build_experiment
from evobourse.fitness.distance import Target
from evobourse.fitness.fact_table import FactRow, compare_facts
from evobourse.fitness.moments import FloatArray, acf_abs, moments, path_faults, standardise
from evobourse.fitness.palette import COLOURS, INK
from evobourse.fitness.plots import plot_acf_abs, plot_moments, plot_return_tails

INCHES = (5.0, 3.5)
_STYLE: dict[Any, Any] = {"font.size": 9.5, "axes.titlesize": 10.5}
_DRAWN = ("evolved", "unevolved", "random_tendencies", "gbm", "garch_t")
STRONGEST = 3
"""Style adapters named of a persona."""

Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class RunSoFar:
    """What a run's folder holds by now.

    Attributes
    ----------
    folder, config
        Of the run.
    candidates
        The lineage.
    champion_id, stopped
        The chosen one and why the search ended; None before that.
    scoreboard
        Its rows; none before the held-out windows were read.
    paths
        Held-out log returns by market; none before, or in runs of before there was such a file.
    population, styles
        The champion's, from its bundle; None before there is one.
    """

    folder: RunFolder
    config: ExperimentConfig
    candidates: list[Candidate]
    champion_id: str | None
    stopped: str | None
    scoreboard: list[Row]
    paths: dict[str, FloatArray]
    population: Population | None
    styles: tuple[str, ...]


def read_run(folder: RunFolder) -> RunSoFar:
    """Read a run's folder, finished or not.

    Raises
    ------
    evolve.errors.RunError
        There is no run, or a file of it is damaged.
    """
    config = open_run(folder)
    bundle = load_bundle(folder.bundle) if folder.bundle.is_dir() else None
    return RunSoFar(
        folder,
        config,
        Lineage(folder.lineage).read(),
        folder.read_champion(),
        folder.read_stop(),
        json.loads(folder.scoreboard.read_text()) if folder.scoreboard.exists() else [],
        read_paths(folder.paths) if folder.paths.exists() else {},
        bundle.population if bundle else None,
        tuple(path.name for path in bundle.adapters) if bundle else (),
    )


def render_run(run: RunSoFar) -> str:
    """Write the page, with the sections that the run has come to."""
    sections = []
    if run.scoreboard:
        sections.append(_scoreboard_section(run))
    if run.paths:
        experiment = build_experiment(run.config)
        target = experiment.target(experiment.splits.heldout).without_volume()
        sound = {name: _sound(paths) for name, paths in run.paths.items()}
        sections += [_paths_section(sound), _facts_section(sound, target)]
    if run.candidates:
        sections.append(_search_section(run))
    if run.population is not None:
        sections.append(_population_section(run.population, run.styles))
    if champion_of(run.candidates, run.champion_id) is not None:
        sections += [_genes_section(run)]
        sections.append(lineage_section(run.candidates, run.champion_id, run.stopped))
    sections.append(_settings_section(run))
    return render_report(run.config.name, _lead(run), sections)


def _lead(run: RunSoFar) -> list[str]:
    if run.scoreboard:
        return [verdict(run.scoreboard)]
    champion = champion_of(run.candidates, None)
    state = "The held-out years have not been read yet, so that there is no verdict."
    if champion is None:
        return ["No candidate has a score yet.", state]
    return [f"The best training score so far is {champion.score:.2f} ({champion.id}).", state]


def _scoreboard_section(run: RunSoFar) -> Section:
    rows = sorted(
        run.scoreboard,
        key=lambda r: (
            r["asset"] == POOLED,
            r["asset"],
            list(SPLITS).index(r["split"]),
            as_score(r["score"]),
        ),
    )
    known = [
        value
        for row in rows
        for key in ("ci_low", "score", "ci_high")
        if math.isfinite(value := as_score(row[key])) and value > 0
    ]
    low, high = math.log(min([*known, 1.0])), math.log(max([*known, 1.0]))

    def place(value: float) -> float:
        if not math.isfinite(value):
            return 1.0
        return (math.log(max(value, math.exp(low))) - low) / max(high - low, 1e-9)

    cells: list[list[str | Bar]] = []
    for row in rows:
        score, *ends = (as_score(row[key]) for key in ("score", "ci_low", "ci_high"))
        bar = Bar(place(score), place(ends[0]), place(ends[1]), (0.0, place(1.0)))
        skill, mcr, lower = (as_score(row.get(key)) for key in ("skill", "mcr", "ends_lower"))
        cells.append(
            [
                str(row["asset"]),
                SPLITS.get(row["split"], str(row["split"])),
                describe(row["name"]),
                format_score(row),
                bar,
                f"{skill:{score_form(skill)}}" if math.isfinite(skill) else "-",
                f"{mcr:.2f}" if math.isfinite(mcr) else "-",
                f"{lower:.0%}" if math.isfinite(lower) else "-",
                str(row.get("seeds", "-")),
                conclude(row)[0],
            ]
        )
    headings = [
        "asset",
        "years",
        "market",
        "#score [95 %]",
        "on a log scale",
        "#skill",
        "#joint coverage",
        "#end lower",
        "#paths",
        "as real",
    ]
    strong = [i for i, row in enumerate(rows) if row["name"] == "evolved"]
    return Section(
        "scoreboard",
        "Scoreboard",
        [
            "J/J95: distance of the paths' moments from the real ones, over that of real years "
            "from each other. A market is as real where all moments together, and the worst one "
            "alone, are no farther off than in 95 % of real years.",
            "Skill: score over that of real training days on the same windows; below 1 the market "
            "is closer than these are.",
            "Joint coverage: share of paths with all moments in the real 95 % bands.",
        ],
        [Table(headings, cells, pd.DataFrame(rows), "scoreboard", strong)],
    )


def _paths_section(sound: Mapping[str, FloatArray]) -> Section:
    shown = [REAL, *(name for name in _DRAWN if len(sound.get(name, ())))]
    logs = {name: log_paths(sound[name]) for name in shown}
    ends = np.concatenate([np.percentile(paths, (0.5, 99.5)) for paths in logs.values()])
    limits = 100.0 * np.exp([ends.min() - 0.05, ends.max() + 0.05])
    pictures, ended = [], []
    for name, colour in zip(shown, (INK, *COLOURS), strict=False):
        down = float((logs[name][:, -1] < 0).mean())
        called = "real windows" if name == REAL else describe(name)
        what = called[0].upper() + called[1:]
        with mpl.rc_context(_STYLE):
            figure = new_figure(*INCHES)
            ax = figure.add_subplot()
            draw_prices(ax, sound[name], colour)
            ax.set(yscale="log", ylim=limits, xlabel="trading days", ylabel="price (start = 100)")
            ax.minorticks_off()
            ticks = [t for t in (25, 50, 75, 100, 150, 200, 300, 500) if limits[0] < t < limits[1]]
            ax.set_yticks(ticks, labels=[str(t) for t in ticks])
            ax.spines[["top", "right"]].set_visible(False)
            ax.grid(color="0.93", linewidth=0.8)
        alt = f"{what}: {len(sound[name])} price paths, {down:.0%} of which end lower."
        data = pd.DataFrame(sound[name].T)
        data.columns = [f"path_{i}" for i in range(data.shape[1])]
        pictures.append(Picture.of(figure, what, alt, data, f"log_returns_{name}"))
        ended.append(f"{called} {down:.0%}")
    return Section(
        "paths",
        "Paths",
        [
            "Lines are single paths; the band holds 5 to 95 % of all, on the held-out years.",
            f"Share of paths that end lower: {', '.join(ended)}.",
        ],
        pictures,
    )


def _facts_section(sound: Mapping[str, FloatArray], target: Target) -> Section:
    real, evolved = sound[REAL], sound["evolved"]
    if not len(evolved):
        return Section("facts", "Facts", ["Every path of the evolved market is degenerate."])
    rows = compare_facts(evolved, real, np.random.default_rng(0))
    kept = [row for row in rows if row.defined and math.isfinite(row.real)]
    cells: list[list[str | Bar]] = [
        [
            FACT_MEANINGS[row.name].strip().lstrip("0123456789").strip(),
            f"{row.simulated:.3g}",
            f"{row.real:.3g} [{row.low:.3g}, {row.high:.3g}]",
            _fact_bar(row),
            f"{row.coverage:.0%}",
        ]
        for row in kept
    ]
    lags = min(60, target.window_days // 4)
    with mpl.rc_context(_STYLE):
        tails, memory, scored = new_figure(*INCHES), new_figure(*INCHES), new_figure(5.0, 4.4)
        plot_return_tails(standardise(real), standardise(evolved), tails.add_subplot())
        curves = acf_abs(real, lags), acf_abs(evolved, lags)
        plot_acf_abs(*curves, memory.add_subplot())
        names = [name for name in ("evolved", "unevolved", "gbm") if len(sound.get(name, ()))]
        per_path = {describe(n): moments(sound[n], target.sigma_real) for n in names}
        ax = plot_moments(target, per_path, scored.add_subplot())
        ax.set_xlabel("sd of real windows from the real mean")
        ax.legend(
            loc="upper center", bbox_to_anchor=(0.35, -0.16), ncols=2, frameon=False,
            fontsize="small",
        )  # fmt: skip
    mean = pd.DataFrame(
        {"lag": np.arange(1, lags + 1), "real": curves[0].mean(0), "evolved": curves[1].mean(0)}
    )
    each = pd.concat(
        [pd.DataFrame(values).assign(market=name) for name, values in per_path.items()]
    )
    sizes = pd.DataFrame({"evolved": np.sort(np.abs(standardise(evolved)), axis=None)[::-1]})
    return Section(
        "facts",
        "Facts of real markets",
        [
            "The grey band holds 95 % of real windows of the same length; the line 95 % of paths.",
            "A fact is no part of the score, unless it is among the scored moments.",
        ],
        [
            Picture.of(scored, "Scored moments", "Moments beside real ones.", each, "moments"),
            Picture.of(tails, "How large returns get", "Share of days above.", sizes, "tails"),
            Picture.of(memory, "How long volatility lasts", "Autocorrelations.", mean, "memory"),
            Table(
                ["fact", "#evolved", "#real [95 %]", "beside real", "#paths within"],
                cells, pd.DataFrame([vars(row) for row in kept]), "facts",
            ),
        ],
    )  # fmt: skip


def _fact_bar(row: FactRow) -> Bar:
    """Put the real 95 % into the middle third of the cell."""
    width = row.high - row.low or 1.0

    def place(value: float) -> float:
        return 1 / 3 + (value - row.low) / width / 3

    return Bar(
        place(row.simulated), place(row.simulated_low), place(row.simulated_high), (1 / 3, 2 / 3)
    )


def _search_section(run: RunSoFar) -> Section:
    groups = by_generation(run.candidates)
    scores = {g: [as_score(c.score) for c in group] for g, group in sorted(groups.items())}
    history = [(g, min(s), float(np.median(s))) for g, s in scores.items()]
    with mpl.rc_context(_STYLE):
        figure = new_figure(*INCHES)
        ax = figure.add_subplot()
        draw_learning(ax, history)
        for side in ("left", "right"):  # the page has titles of its own
            ax.set_title("", loc=side)
    data = pd.DataFrame(history, columns=["generation", "best", "median"])
    timings = Timings(run.folder.timings).read()
    market = run.config.market
    minutes = sum(t.seconds for t in timings) / 60
    markets = len(run.candidates) * run.config.candidate_markets
    decisions = markets * market.agents * market.days
    failed = [c for c in run.candidates if c.score is None]
    said = [
        f"{len(run.candidates):,} candidates in {len(groups):,} generations took {minutes:.1f} "
        f"minutes and {decisions:,} decisions of agents at most; {len(failed)} candidates failed.",
    ]
    if run.stopped:
        said.append(f"The search ended: {run.stopped}.")
    if failed:
        said.append(f"The last failure: {failed[-1].failure}.")
    picture = Picture.of(
        figure, "Best and median training score", "Scores by generation.", data, "learning"
    )
    return Section("search", "Search", said, [picture])


def _population_section(population: Population, styles: Sequence[str]) -> Section:
    total = sum(p.share for p in population.personas)
    rows = sorted(population.personas, key=lambda p: -p.share)
    cells = [
        [
            p.name,
            f"{p.share / total:.1%}",
            f"{p.temperature:.2f}",
            _mixture(p, styles),
            p.profile,
        ]
        for p in rows
    ]
    data = pd.DataFrame(
        [
            {
                "persona": p.name,
                "share": p.share / total,
                "temperature": p.temperature,
                **dict(zip(styles, np.mean(p.mixture, axis=0), strict=True)),
            }
            for p in rows
        ]
    )
    society = {**vars(population.society), **population.society.mechanisms.on}
    masked = sorted(population.society.mask.items(), key=lambda item: -item[1])
    mask_table = Table(
        ["field", "#hidden from an agent"],
        [[name, f"{value:.0%}"] for name, value in masked],
        pd.DataFrame(masked, columns=["field", "probability"]),
        "masks",
    )
    plain = {k: v for k, v in society.items() if isinstance(v, int | float)}
    return Section(
        "population",
        "The champion's population",
        [
            "Share: expected part of the agents at the start. Temperature: how loosely a persona "
            "follows its mind. Styles: the largest coefficients of its mixture of adapters, "
            "averaged over layer blocks.",
            "Hidden: the probability that a field is masked for good, drawn once an agent.",
        ],
        [
            Table(["persona", "#share", "#temperature", "styles", "who"], cells, data, "personas"),
            mask_table,
            Text("All settings of the society", "\n".join(f"{k}: {v}" for k, v in plain.items())),
        ],
    )


def _mixture(persona: Persona, styles: Sequence[str]) -> str:
    means = np.mean(persona.mixture, axis=0)
    order = np.argsort(-np.abs(means))[:STRONGEST]
    named = [f"{styles[k]} {means[k]:+.2f}" for k in order if abs(means[k]) >= 0.05]
    return ", ".join(named) or "the bare base"


def _genes_section(run: RunSoFar) -> Section:
    champion = champion_of(run.candidates, run.champion_id)
    assert champion is not None  # the caller has asked
    names, choices, values = gene_table(run.candidates)
    own = values[[c.id for c in run.candidates].index(champion.id)]
    groups = by_generation(run.candidates)
    # What a search ends at is a generation of one.
    latest = max((g for g, group in groups.items() if len(group) > 1), default=0)
    last = values[[c.generation == latest for c in run.candidates]]
    cells: list[list[str | Bar]] = []
    data = []
    for g, name in enumerate(names):
        low, high = np.nanmin(values[:, g]), np.nanmax(values[:, g])
        span = high - low
        if not np.isfinite(own[g]) or not span:
            continue
        at = [(v - low) / span for v in (own[g], *np.nanpercentile(last[:, g], (10, 90)))]
        said = [_say(v, choices[g]) for v in (own[g], low, high)]
        cells.append([name, said[0], Bar(at[0], at[0], at[0], (at[1], at[2])), said[1], said[2]])
        data.append((name, own[g], low, high))
    return Section(
        "census",
        "Genes",
        [
            f"Where {champion.id} lies in the range that the sweep has tried; the band holds the "
            "middle 80 % of the last generation.",
        ],
        [
            Table(
                ["gene", "#champion", "in the range tried", "#from", "#to"], cells,
                pd.DataFrame(data, columns=["gene", "champion", "lowest", "highest"]), "genes",
            )
        ],
    )  # fmt: skip


def _say(value: float, choices: Sequence[str] | None) -> str:
    return f"{value:.3g}" if choices is None else choices[round(value)]


def _settings_section(run: RunSoFar) -> Section:
    blocks = [Text("config.yaml", run.folder.config.read_text())]
    if run.folder.splits.exists():
        blocks.append(Text("splits.yaml", run.folder.splits.read_text()))
    return Section(
        "settings",
        "Settings",
        [
            f"Seed {run.config.seed}, series {', '.join(run.config.series)}, base "
            f"{run.config.minds.base}."
        ],
        blocks,
    )


def _sound(log_returns: FloatArray) -> FloatArray:
    return np.asarray(log_returns[path_faults(log_returns) == ""])

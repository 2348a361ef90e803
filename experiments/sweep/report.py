"""A run as one HTML page: what came out, what it is held against, who the champion is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd

from evobourse.agents.personas.persona import Population
from evobourse.evolve.bundle import load_bundle
from evobourse.evolve.lineage import Candidate, Lineage
from evobourse.evolve.run_folder import RunFolder
from evobourse.evolve.timings import Timings
from evobourse.experiments.config.experiment import ExperimentConfig
from evobourse.experiments.reports.ancestry import by_generation, champion_of, gene_table
from evobourse.experiments.reports.attribution import attribution_section, read_attribution
from evobourse.experiments.reports.figures import new_figure
from evobourse.experiments.reports.lineage_page import lineage_section
from evobourse.experiments.reports.page import Bar, Picture, Section, Table, Text, render_report
from evobourse.experiments.reports.paths import read_paths
from evobourse.experiments.reports.run_page import draw_learning
from evobourse.experiments.reports.scores import (
    as_score,
)
from evobourse.experiments.reports.sections import population_section, scoreboard_section
from evobourse.experiments.reports.verdict import verdict
from evobourse.experiments.scoring.sections import (
    INCHES,
    STYLE,
    facts_section,
    paths_section,
    sound_paths,
)
from evobourse.experiments.sweep.resume import open_run
from evobourse.experiments.sweep.setup import build_experiment
from evobourse.fitness.moments import FloatArray

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
    attribution
        What ``evobourse attribution`` found of this champion; None unless it did.
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
    attribution: Row | None = None


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
        read_attribution(folder, bundle.reference.digest) if bundle else None,
    )


def render_run(run: RunSoFar) -> str:
    """Write the page, with the sections that the run has come to."""
    sections = []
    if run.scoreboard:
        sections.append(scoreboard_section(run.scoreboard))
    if run.paths:
        experiment = build_experiment(run.config)
        target = experiment.target(experiment.splits.heldout).without_volume()
        sound = {name: sound_paths(paths) for name, paths in run.paths.items()}
        sections += [paths_section(sound), facts_section(sound, target)]
    if run.candidates:
        sections.append(_search_section(run))
    if run.population is not None:
        sections.append(population_section(run.population, run.styles))
    if run.attribution is not None:
        sections.append(attribution_section(run.attribution))
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


def _search_section(run: RunSoFar) -> Section:
    groups = by_generation(run.candidates)
    scores = {g: [as_score(c.score) for c in group] for g, group in sorted(groups.items())}
    history = [(g, min(s), float(np.median(s))) for g, s in scores.items()]
    with mpl.rc_context(STYLE):
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

"""Evolved markets against laws, and against sweeps with less, over seeds and pooled assets.

Held-out windows are read once, for the champions of all sweeps, at the end.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from evobourse.agents.minds.stand_ins import Minds
from evobourse.agents.personas.persona import Population
from evobourse.evolve.bases.protocol import Bases
from evobourse.evolve.lineage import Candidate
from evobourse.evolve.run_folder import RunFolder
from evobourse.experiments.config.experiment import ExperimentConfig, load_config
from evobourse.experiments.config.runnable import choose
from evobourse.experiments.reports.figure_lines import Report
from evobourse.experiments.reports.scores import MEANINGS
from evobourse.experiments.studies.run import Page, Study
from evobourse.experiments.studies.sp500.arms import ARMS, CHOSEN, EVOLVED
from evobourse.experiments.studies.sp500.page import draw_scores, write_page
from evobourse.experiments.studies.sp500.standings import Reading, make_rows, read
from evobourse.experiments.sweep.arms import Models, evolve_arm
from evobourse.experiments.sweep.judging import Judge
from evobourse.experiments.sweep.pasts import REFERENCE, Pasts
from evobourse.experiments.sweep.setup import Experiment
from evobourse.fitness.conditional.energy import QuarterScores
from evobourse.fitness.paths import Paths
from evobourse.fitness.protocol import HeldOutDoor
from evobourse.market.series.named import load_series

STUDY = Study(
    question="do evolved markets hold up, against laws and against sweeps with less?",
    minutes=8,
    page="docs/studies/sp500.md",
)


@dataclass(frozen=True)
class Settings:
    """What is evolved, and on what it is judged.

    Attributes
    ----------
    seeds, first_seed
        Sweeps of each arm, and the seed of the first.
    arms
        Names of arms, see `ARMS`; ``evolved`` is always one.
    generations
        Of each sweep.
    trained
        Series that sweeps are scored on.
    judged
        Series whose held-out windows are read; where one is shorter, so are its splits.
    groups
        Of ``market.paths`` paths, one score each, of a champion on an asset.
    folder
        Of the sweeps; they go on from there.
    changes
        Of the quickstart's config: any key with a dot, such as market.agents.
    """

    seeds: int = 2
    first_seed: int = 1
    arms: tuple[str, ...] = ("evolved", "teachers_evolved", "dice_evolved")
    generations: int = 20
    trained: tuple[str, ...] = ("sp500", "nasdaq")
    judged: tuple[str, ...] = ("sp500", "nasdaq", "aapl", "ibm", "msft")
    groups: int = 8
    folder: Path = Path("runs/studies/sp500")
    changes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Champion:
    """Whom a sweep chose, and what answers for it."""

    experiment: Experiment
    bases: Bases
    candidate: Candidate
    run_folder: RunFolder

    def play(self, judge: Judge) -> Paths:
        """Play it on a judge's windows."""
        return judge.play(*self._served())

    def follow(self, pasts: Pasts) -> QuarterScores:
        """Let it follow real pasts."""
        return pasts.play(*self._served())

    def _served(self) -> tuple[Population, Minds]:
        genome, values = self.experiment.market_genome, self.candidate.genome
        return genome.population(values), self.bases.serve(genome.recipe(values))


def run(settings: Settings, report: Report) -> Page:
    """Run all sweeps, then read the held-out windows."""
    with closing(Models()) as models:
        return _run(settings, report, models)


def _run(settings: Settings, report: Report, models: Models) -> Page:
    arms = {name: choose(ARMS, name, "arm") for name in dict.fromkeys((EVOLVED, *settings.arms))}
    config = load_config("quickstart", settings.changes)
    config = replace(
        config,
        name="sp500",
        series=settings.trained,
        search=replace(config.search, generations=settings.generations),
    )
    champions: dict[str, list[Champion]] = {name: [] for name in arms}
    seeds = range(settings.first_seed, settings.first_seed + settings.seeds)
    with report.steps("generations", len(arms) * len(seeds) * settings.generations) as step:
        for seed in seeds:
            for name, arm in arms.items():
                folder = RunFolder(settings.folder / name / f"seed-{seed}")
                say = partial(_say, report, f"{name}, seed {seed}")
                found = evolve_arm(arm, replace(config, seed=seed), models, folder, say, step)
                champions[name].append(Champion(*found, folder))
    readings = judge_all(config, champions, settings, report, models)
    chosen = choose_seed(readings["validation"][EVOLVED])
    for of_split in readings.values():
        of_split[CHOSEN] = [of_split[EVOLVED][chosen]]
    heldout = readings["heldout"]
    rows = make_rows(heldout, EVOLVED)
    for name, row in rows.items():
        against = row.get("against") or [None]
        report.figure(f"held-out J/J95, {name}", row["score"], "1", "evolved over it", against[0],
                      low=row["ci_low"], high=row["ci_high"])  # fmt: skip
        report.figure(f"energy score given real pasts, {name}", row["conditional"], "1", REFERENCE,
                      row["conditional_skill"], p=row["conditional_p"])  # fmt: skip
    record = {
        "rows": rows,
        "assets": list(settings.judged),
        "heldout": {name: of_series(config, name).splits.heldout for name in settings.judged},
        "trained": list(settings.trained),
        "sweep_seeds": settings.seeds,
        "chosen_seed": seeds[chosen],
        "generations": settings.generations,
        "candidates": count_candidates(champions[EVOLVED][0]),
        "commit": find_commit(),
        "command": report.command,
    }
    meanings = {**MEANINGS, **{name: arm.meaning for name, arm in arms.items()}}
    meanings[CHOSEN] = "of those the one that is best on validation windows"
    text = write_page(record, readings, meanings, config)
    return Page(
        text,
        {"sp500.png": draw_scores(heldout, meanings)},
        {"sp500.json": (json.dumps(record, indent=2) + "\n").encode()},
    )


def judge_all(
    config: ExperimentConfig,
    champions: Mapping[str, Sequence[Champion]],
    settings: Settings,
    report: Report,
    models: Models,
) -> dict[str, dict[str, list[Reading]]]:
    """Read all windows of the judged series, the held-out ones last: by split, then by name."""
    config = replace(config, seed=settings.first_seed)
    assets = [models.build(of_series(config, name)) for name in settings.judged]
    found: dict[str, dict[str, list[Reading]]] = {}
    for split in ("train", "validation", "heldout"):
        judges = [Judge(one, getattr(one.splits, split), settings.groups) for one in assets]
        held = split == "heldout"
        laws = [judge.baselines() for judge in judges] if held else []
        pasts = [judge.pasts() for judge in judges] if held else []
        count = sum(map(len, champions.values())) + (len(laws[0]) if laws else 0)
        with report.steps(f"{split} windows", count) as step:
            found[split] = {}
            for name, each in champions.items():
                found[split][name] = []
                for one in each:
                    if held:
                        open_door(one, settings)
                    paths = [one.play(judge) for judge in judges]
                    given = [one.follow(of_asset) for of_asset in pasts]
                    found[split][name].append(read(judges, paths, given))
                    step()
            for name in laws[0] if laws else ():
                drawn = [
                    law[name](judge.stream(name)) for law, judge in zip(laws, judges, strict=True)
                ]
                given = [of_asset.draw(name) for of_asset in pasts]
                found[split][name] = [read(judges, drawn, given)]
                step()
    return found


def of_series(config: ExperimentConfig, name: str) -> ExperimentConfig:
    """Return a config of one series, its splits within the days that the series has."""
    dates, splits = load_series(name).dates, config.splits
    first, last = str(dates[0]), str(dates[-1])
    train = (max(splits.train[0], first), splits.train[1])
    heldout = (splits.heldout[0], min(splits.heldout[1], last))
    return replace(config, series=(name,), splits=replace(splits, train=train, heldout=heldout))


def open_door(champion: Champion, settings: Settings) -> None:
    """Note that a sweep's held-out windows are read; a sweep reads them for one champion alone."""
    given = [champion.candidate.genome, settings.judged, settings.groups]
    scored = json.dumps(given, sort_keys=True)  # a resumed lineage is sorted
    digest = hashlib.sha256(scored.encode()).hexdigest()
    HeldOutDoor(champion.run_folder.path).read("heldout", "study sp500", digest)


def choose_seed(validation: Sequence[Reading]) -> int:
    """Choose one of several sweeps by its champion's validation windows, pooled over the assets."""
    return int(np.argmin([one.pooled(True) for one in validation]))


def count_candidates(champion: Champion) -> int:
    """Count the candidates of a champion's sweep."""
    with champion.run_folder.lineage.open("rb") as lines:
        return sum(1 for _ in lines)


def find_commit() -> str | None:
    """Return the checkout's commit, "+" after it where files differ; None where there is none."""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()


def _say(report: Report, who: str, text: str) -> None:
    report.say(f"{who}: {text}")

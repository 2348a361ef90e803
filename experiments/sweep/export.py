"""A sweep's champion written out: its bundle, with a reference simulation and a card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from evobourse.agents.crowds.persona_crowd import history_ticks
from evobourse.agents.minds.choices import tabulate_choices
from evobourse.agents.minds.stored_answers import gather_answers
from evobourse.evolve.bases.protocol import Bases
from evobourse.evolve.bundle import Bundle, Reference, write_bundle
from evobourse.evolve.lineage import Candidate
from evobourse.evolve.markets import play_market
from evobourse.experiments.config.experiment import ExperimentConfig
from evobourse.experiments.sweep.rows import finite_row
from evobourse.experiments.sweep.setup import Experiment

REFERENCE_SEED = 1


def export_bundle(
    experiment: Experiment,
    bases: Bases,
    champion: Candidate,
    rows: Sequence[dict[str, Any]],
    folder: Path,
) -> Bundle:
    """Write the champion's bundle, with a reference simulation made on the spot."""
    config, genome = experiment.config, experiment.market_genome
    population, recipe = genome.population(champion.genome), genome.recipe(champion.genome)
    history = history_ticks(experiment.series.close[: experiment.splits.heldout.start])
    agents, days = config.market.agents, config.market.days
    minds = bases.serve(recipe)
    [choices] = tabulate_choices([population], minds)
    part = (population, history, REFERENCE_SEED)
    tape = play_market(experiment.windows.world, part, choices, "full")
    bundle = Bundle(
        config.name,
        config.minds.base,
        bases.base_hash,
        config.minds.blocks,
        recipe,
        experiment.adapters,
        experiment.sources,
        population,
        experiment.windows.world.offsets,
        experiment.windows.world.rules,
        history,
        Reference(agents, days, REFERENCE_SEED, tape.digest()),
        {
            name: replace(other, base_hash=bases.hash_of(name))
            for name, other in experiment.persona_bases.items()
        },
        config.minds.memory_bytes,
        gather_answers(population, minds),
    )
    shown = [finite_row(row) for row in rows]
    write_bundle(folder, bundle, bases.depth, shown, _card(config, champion, rows))
    return bundle


def _card(config: ExperimentConfig, champion: Candidate, rows: Sequence[dict[str, Any]]) -> str:
    lines = [
        f"# {config.name}: an evolved population",
        "",
        f"Champion `{champion.id}` of a sweep against {', '.join(config.series)}, base "
        f"{' and '.join(f'`{base}`' for base in (config.minds.base, *config.other_bases))}.",
        "Trades with `evobourse simulate`, without its models: their answers are in the bundle.",
        "Not a forecast and no advice: the population was bred",
        "so that its market moves like a real one.",
        "",
        "| row | split | J/J95 | 95 % interval |",
        "|---|---|---|---|",
    ]
    lines += [
        "| {name} | {split} | {score:.2f} | {ci_low:.2f} to {ci_high:.2f} |".format(**row)
        for row in rows
    ]
    return "\n".join([*lines, "", "Files and their sha256 are in `hashes.json`.", ""])

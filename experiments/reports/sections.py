"""Chapters that several reports have: a scoreboard, a population."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from evobourse.agents.personas.persona import Persona, Population
from evobourse.experiments.reports.page import Bar, Section, Table, Text
from evobourse.experiments.reports.scores import (
    POOLED,
    SPLITS,
    as_score,
    conclude,
    describe,
    format_score,
    given_pasts,
    score_form,
)

STRONGEST = 3
"""Style adapters named of a persona."""


def scoreboard_section(scoreboard: Sequence[Mapping[str, Any]]) -> Section:
    """Show the rows of a ``scoreboard.json``, best first in each asset's splits."""
    rows = sorted(
        scoreboard,
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
                given_pasts(row),
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
        "#given the past",
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
            "Given the past: energy score of paths that follow real pasts, over that of GARCH-t "
            "told the same pasts, with the p-value of the difference over calendar quarters "
            "(Diebold and Mariano); below 1 the market knows more.",
            "Joint coverage: share of paths with all moments in the real 95 % bands.",
        ],
        [Table(headings, cells, pd.DataFrame(rows), "scoreboard", strong)],
    )


def population_section(population: Population, styles: Sequence[str]) -> Section:
    """Show personas, what is hidden from agents, and the society; styles name the coefficients."""
    total = sum(p.share for p in population.personas)
    rows = sorted(population.personas, key=lambda p: -p.share)
    cells = [
        [
            p.name,
            f"{p.share / total:.1%}",
            f"{p.temperature:.2f}",
            strongest_styles(p, styles),
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
        "The population",
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


def strongest_styles(persona: Persona, styles: Sequence[str]) -> str:
    """Name the largest coefficients of a persona's mixture, averaged over layer blocks."""
    means = np.mean(persona.mixture, axis=0)
    order = np.argsort(-np.abs(means))[:STRONGEST]
    named = [f"{styles[k]} {means[k]:+.2f}" for k in order if abs(means[k]) >= 0.05]
    return ", ".join(named) or "the bare base"

"""A sweep's lineage as HTML that needs nothing else: the tree, and each gene's way.

What its script reads is packed, so that ten thousand candidates are a few megabytes; how it looks
is `lineage_tree.html`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evobourse.evolve.lineage import Candidate
from evobourse.experiments.reports.ancestry import best_candidate, gene_table
from evobourse.experiments.reports.lineage_picture import SMALLEST_SCORE
from evobourse.experiments.reports.page import Part, Section, render_report

TEMPLATE = Path(__file__).with_name("lineage_tree.html")
_STEPS = 65535
"""Genes are told to a 65,535th of the range that the sweep has tried."""


def render_page(
    candidates: Sequence[Candidate],
    champion_id: str | None,
    title: str,
    stopped: str | None,
    reload_seconds: int = 0,
) -> str:
    """Write a page that holds the lineage alone; see `lineage_section`."""
    section = lineage_section(candidates, champion_id, stopped, reload_seconds)
    return render_report(f"{title}: lineage", [], [section])


def lineage_section(
    candidates: Sequence[Candidate],
    champion_id: str | None,
    stopped: str | None,
    reload_seconds: int = 0,
) -> Section:
    """Write the chapter of a page.

    Parameters
    ----------
    candidates : sequence of Candidate
        The lineage, in order; at least one has a score.
    champion_id : str or None
        The chosen one; None for the best training score so far.
    stopped : str or None
        Why the search ended, in words; None while it has not.
    reload_seconds : int
        After how long the page opens itself anew, for one that is written again; 0 for never.

    Raises
    ------
    EvolveError
        If the champion is not in the lineage, or nobody has a score.
    """
    champion = best_candidate(candidates, champion_id)
    index = {candidate.id: i for i, candidate in enumerate(candidates)}
    generations = [candidate.generation for candidate in candidates]
    scores = [candidate.score for candidate in candidates]
    alive = [max(score, SMALLEST_SCORE) for score in scores if score is not None]
    parents, parents_of = _parents(candidates, index)
    failed = len(scores) - len(alive)
    state = "" if champion_id else "The search has not ended."
    state = f"The search has ended: {stopped}." if stopped else state
    lead = (
        f"{len(candidates):,} candidates in {len(set(generations)):,} generations, "
        f"{failed:,} failed. {state}"
    )
    data = {
        "reload": reload_seconds,
        "champion": index[champion.id],
        "championLabel": "the champion" if champion_id else "the best so far",
        "scoreLabel": "training score, J / J95 (lower is closer to real)",
        "ids": [candidate.id for candidate in candidates],
        "generations": generations,
        "scores": scores,
        "failures": {i: c.failure for i, c in enumerate(candidates) if c.failure is not None},
        "places": _places(generations),
        "parents": parents,
        "parentsOf": parents_of,
        "extent": {
            "generations": [min(generations), max(generations)],
            "scores": [min([*alive, 1.0]) / 1.2, max([*alive, 1.0]) * 1.2],
        },
        **_packed_genes(candidates),
    }
    # "</script>" within a string would end the script.
    text = json.dumps(data, allow_nan=False, separators=(",", ":")).replace("</", "<\\/")
    tree = TEMPLATE.read_text(encoding="utf-8").replace("/*DATA*/", text)
    return Section("lineage", "Lineage", [lead.strip()], [Part(tree)])


def _packed_genes(candidates: Sequence[Candidate]) -> dict[str, Any]:
    names, choices, values = gene_table(candidates)
    low, high = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
    span = np.where(high > low, high - low, 1.0)
    packed = np.rint(np.nan_to_num((values - low) / span) * _STEPS).astype("<u2")
    return {
        "genes": names,
        "choices": choices,
        "low": low.tolist(),
        "high": high.tolist(),
        "values": base64.b64encode(packed.tobytes()).decode(),
    }


def _parents(
    candidates: Sequence[Candidate], index: dict[str, int]
) -> tuple[list[list[tuple[int, float]]], list[int]]:
    """List each set of parents once, since a generation shares them; -1 is not recorded."""
    sets: dict[tuple[tuple[str, float], ...], int] = {}
    of = [sets.setdefault(candidate.parents, len(sets)) for candidate in candidates]
    listed = [[(index.get(id_, -1), round(w, 5)) for id_, w in parents] for parents in sets]
    return listed, of


def _places(generations: Sequence[int]) -> list[float]:
    """Spread each generation's candidates from 0 to 1 in order of birth."""
    counts = np.bincount(generations)
    seen = np.zeros(len(counts), np.int64)
    places = []
    for generation in generations:
        places.append(round(float((seen[generation] + 0.5) / counts[generation]), 3))
        seen[generation] += 1
    return places

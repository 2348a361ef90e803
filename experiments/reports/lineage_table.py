"""A sweep's lineage in a few lines: how its scores fell, and how its champion came about."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from evobourse.evolve.lineage import Candidate
from evobourse.evolve.searches.search import generation_name
from evobourse.experiments.reports.ancestry import (
    ancestry,
    by_generation,
    champion_of,
    front,
    moved_genes,
)

SHOWN_GENES = 5
CURVE_WIDTH = 40
_LEVELS = "▁▂▃▄▅▆▇█"


def summarise(candidates: Sequence[Candidate], champion_id: str | None) -> RenderableType:
    """Tell a lineage in ten lines: how scores fell, the champion's ancestry, what moved most.

    Parameters
    ----------
    candidates : sequence of Candidate
        The lineage, in order.
    champion_id : str or None
        The chosen one; None for the best training score so far.

    Returns
    -------
    RenderableType
        For a rich console of 80 columns or more.

    Raises
    ------
    EvolveError
        If the champion is not in the lineage.
    """
    if not candidates:
        return Text("no generation is finished yet")
    failed = sum(c.score is None for c in candidates)
    first, last = (candidates[at].generation for at in (0, -1))
    told = f"{len(candidates):,} candidates, {generation_name(first)} to {generation_name(last)}"
    parts: list[RenderableType] = [Text(told + (f"; {failed:,} failed" if failed else ""))]
    champion = champion_of(candidates, champion_id)
    if champion is None:
        return Group(
            *parts, Text(f"every candidate failed, the last with: {candidates[-1].failure}")
        )
    parts.append(Text.assemble("best training score  ", *_curve(candidates)))
    line = ancestry(candidates, champion.id)
    start = line[-1][0]
    named = "champion" if champion_id else "best so far"
    score = "failed" if champion.score is None else f"{champion.score:.2f} when it was bred"
    parts.append(Text.assemble(f"{named} ", (champion.id, "bold"), f", {score}"))
    if start is not champion:
        came = f"by its heaviest parents from {start.id}, {len(line) - 1:,} steps ago"
        parts += [Text(f"{came}; what moved most:"), _genes_table(candidates, start, champion)]
    return Group(*parts)


def front_table(candidates: Sequence[Candidate], objectives: Sequence[str]) -> Table:
    """List the front, the best in the first objective first."""
    rows = [
        ([c.score if name == "score" else c.parts[name] for name in objectives], c.id)
        for c in front(candidates, objectives)
    ]
    table = _table(*objectives, "not beaten in all of them")
    for values, id_ in sorted(rows):
        table.add_row(*(f"{value:,.6g}" for value in values), id_)
    return table


def _curve(candidates: Sequence[Candidate]) -> tuple[tuple[str, str], str]:
    """Draw the best score of each generation, or of each few, and say the first and the last."""
    best = [
        min((c.score for c in group if c.score is not None), default=None)
        for _, group in sorted(by_generation(candidates).items())
    ]
    known = [score for score in best if score is not None]
    each = -(-len(best) // CURVE_WIDTH)
    logs = np.log([max(score, 1e-9) for score in known])
    low, span = logs.min(), max(float(np.ptp(logs)), 1e-9)
    marks = []
    for at in range(0, len(best), each):
        few = [score for score in best[at : at + each] if score is not None]
        height = (np.log(max(min(few), 1e-9)) - low) / span if few else None
        marks.append(" " if height is None else _LEVELS[round(float(height) * (len(_LEVELS) - 1))])
    return ("".join(marks), "cyan"), f"  {known[0]:.2f} at first, {known[-1]:.2f} at last"


def _genes_table(candidates: Sequence[Candidate], start: Candidate, champion: Candidate) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 1))
    for _ in range(2):
        table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for gene in moved_genes(candidates, [(champion, None), (start, None)])[:SHOWN_GENES]:
        share = f"{gene.share:.0%} of its range"
        table.add_row(share, gene.say(-1), f"-> {gene.say(0)}", gene.name)
    return table


def _table(*headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1))
    for heading in headings[:-1]:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column(headings[-1], overflow="fold")
    return table

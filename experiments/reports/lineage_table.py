"""A sweep's lineage in words: its generations, and how its champion came about."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from evobourse.evolve.lineage import Candidate
from evobourse.experiments.reports.ancestry import (
    Ancestry,
    ancestry,
    by_generation,
    champion_of,
    front,
    moved_genes,
)

SHOWN_GENES = 12


def summarise(candidates: Sequence[Candidate], champion_id: str | None) -> RenderableType:
    """Tell a lineage: generations, the champion's ancestry, the genes that moved most.

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
    parts: list[RenderableType] = [Text("Generations", "bold"), _generations_table(candidates)]
    champion = champion_of(candidates, champion_id)
    if champion is None:
        return Group(
            *parts, Text(f"every candidate failed, the last with: {candidates[-1].failure}")
        )
    line = ancestry(candidates, champion.id)
    named = "Champion" if champion_id else "Best so far"
    parts += [Text(f"\n{named} {champion.id}, by its heaviest parents", "bold"), _line_table(line)]
    start = line[-1][0]
    if start is not champion:
        title = f"\nGenes that moved most, {start.id} -> {champion.id}"
        parts += [Text(title, "bold"), _genes_table(candidates, start, champion)]
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


def _generations_table(candidates: Sequence[Candidate]) -> Table:
    table = _table("generation", "candidates", "failed", "best", "median", "best candidate")
    for generation, group in sorted(by_generation(candidates).items()):
        alive = sorted((c.score, c.id) for c in group if c.score is not None)
        failed = len(group) - len(alive)
        counts = (str(generation), str(len(group)), str(failed) if failed else "-")
        if alive:
            middle = median(score for score, _ in alive)
            table.add_row(*counts, f"{alive[0][0]:.2f}", f"{middle:.2f}", alive[0][1])
        else:
            table.add_row(*counts, "-", "-", Text(group[0].failure or "", "dim"))
    return table


def _line_table(line: Ancestry) -> Table:
    table = _table("generation", "weight", "score", "candidate")
    for candidate, weight in line:
        table.add_row(
            str(candidate.generation),
            "" if weight is None else f"{weight:.1%}",
            "failed" if candidate.score is None else f"{candidate.score:.2f}",
            candidate.id,
            style="bold" if weight is None else "",
        )
    return table


def _genes_table(candidates: Sequence[Candidate], start: Candidate, champion: Candidate) -> Table:
    table = _table("of range tried", "from", "to", "gene")
    for gene in moved_genes(candidates, [(champion, None), (start, None)])[:SHOWN_GENES]:
        table.add_row(f"{gene.share:.0%}", gene.say(-1), gene.say(0), gene.name)
    return table


def _table(*headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1))
    for heading in headings[:-1]:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column(headings[-1], overflow="fold")
    return table

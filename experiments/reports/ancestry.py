"""Who a champion descends from, which genes moved on the way, and who is not beaten by anyone.

An ancestor is the heaviest parent, back to the first generation.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evobourse.evolve.errors import EvolveError
from evobourse.evolve.lineage import Candidate, Lineage
from evobourse.evolve.run_folder import RunFolder

Ancestry = list[tuple[Candidate, float | None]]


def ancestry(candidates: Sequence[Candidate], champion_id: str) -> Ancestry:
    """Follow the parent with the largest weight from the champion to the first generation.

    Returns
    -------
    list of (Candidate, float or None)
        The champion first, with None, then each ancestor with its weight in the one before it;
        of equal weights the parent named first. Ends early at a parent that is not recorded.

    Raises
    ------
    EvolveError
        If the champion is not in the lineage.
    """
    by_id = {candidate.id: candidate for candidate in candidates}
    if champion_id not in by_id:
        raise EvolveError(
            f"champion {champion_id!r} is not among the lineage's {len(by_id)} candidates; "
            "the lineage and the champion come from different runs"
        )
    line: Ancestry = [(by_id[champion_id], None)]
    while parents := line[-1][0].parents:
        parent, weight = max(parents, key=lambda parent: parent[1])
        if parent not in by_id or by_id[parent].generation >= line[-1][0].generation:
            break
        line.append((by_id[parent], weight))
    return line


def best_candidate(candidates: Sequence[Candidate], champion_id: str | None) -> Candidate:
    """Return the chosen candidate, or without one that with the best training score.

    Raises
    ------
    EvolveError
        If the chosen one is not in the lineage or failed, or all failed.
    """
    champion = champion_of(candidates, champion_id)
    if champion is None:
        raise EvolveError("no candidate has a score yet; wait for a generation that has")
    return champion


def front(candidates: Sequence[Candidate], objectives: Sequence[str]) -> list[Candidate]:
    """Return those that no other beats: none is at least as good in all objectives, better in one.

    Parameters
    ----------
    candidates : sequence of Candidate
    objectives : sequence of str
        "score" or names of parts; less is better. Who failed or lacks one is left out.
    """
    rows = [
        (c, [c.score if name == "score" else c.parts.get(name, np.nan) for name in objectives])
        for c in candidates
        if c.score is not None
    ]
    alive = [(c, np.array(row, dtype=float)) for c, row in rows if np.isfinite(row).all()]
    points = np.array([row for _, row in alive]).reshape(len(alive), len(objectives))
    return [
        c
        for c, row in alive
        if not np.any((points <= row).all(axis=1) & (points < row).any(axis=1))
    ]


def gene_table(
    candidates: Sequence[Candidate],
) -> tuple[list[str], list[list[str] | None], NDArray[np.float64]]:
    """Line up the genes of candidates.

    Returns
    -------
    names : list of str, length G
        As ``segment.gene``.
    choices : list of list of str or None, length G
        The values of a gene that is no number, sorted; the table holds their places.
    values : float64[n, G]
        NaN where a candidate has no such gene.
    """
    rows = [
        {
            (segment, gene): value
            for segment, genes in c.genome.items()
            for gene, value in genes.items()
        }
        for c in candidates
    ]
    keys = list(dict.fromkeys(key for row in rows for key in row))
    choices: list[list[str] | None] = []
    values = np.full((len(rows), len(keys)), np.nan)
    for g, key in enumerate(keys):
        column = [row.get(key) for row in rows]
        words = sorted({value for value in column if isinstance(value, str)})
        choices.append(words or None)
        order = {word: float(place) for place, word in enumerate(words)}
        values[:, g] = [
            np.nan if value is None else order[value] if isinstance(value, str) else float(value)
            for value in column
        ]
    return [f"{segment}.{gene}" for segment, gene in keys], choices, values


def champion_of(candidates: Sequence[Candidate], champion_id: str | None) -> Candidate | None:
    """Return the chosen candidate, without one the best so far, None where all failed.

    Raises
    ------
    EvolveError
        If the chosen one is not in the lineage or failed.
    """
    if champion_id is not None:
        champion = ancestry(candidates, champion_id)[0][0]
        if champion.score is None:
            raise EvolveError(f"champion {champion_id} failed ({champion.failure}); name another")
        return champion
    alive = [(c.score, c.id, c) for c in candidates if c.score is not None]
    return min(alive)[2] if alive else None


@dataclass(frozen=True)
class MovedGene:
    """A gene along an ancestry, champion first: its values, and where they lie in what was tried.

    `share` is how far it moved and `places` (0 to 1) where it was, of the range that was tried.
    """

    name: str
    values: NDArray[np.float64]
    places: NDArray[np.float64]
    choices: list[str] | None

    @property
    def share(self) -> float:
        """How far it moved, of the range that was tried."""
        return float(abs(self.places[0] - self.places[-1]))

    def say(self, at: int) -> str:
        """Write its value at a place of the ancestry."""
        value = float(self.values[at])
        if self.choices is not None:
            return self.choices[round(value)]
        return f"{round(value, 9):.3g}"


def moved_genes(candidates: Sequence[Candidate], line: Ancestry) -> list[MovedGene]:
    """List the genes that moved from an ancestry's end to its front, the farthest first."""
    names, choices, values = gene_table(candidates)
    index = {candidate.id: i for i, candidate in enumerate(candidates)}
    low, high = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
    span = np.where(high > low, high - low, 1.0)
    along = values[[index[candidate.id] for candidate, _ in line]]
    genes = [
        MovedGene(name, along[:, g], (along[:, g] - low[g]) / span[g], choices[g])
        for g, name in enumerate(names)
    ]
    moved = [gene for gene in genes if np.isfinite(gene.share) and gene.share > 0]
    return sorted(moved, key=lambda gene: -gene.share)


def by_generation(candidates: Sequence[Candidate]) -> Mapping[int, list[Candidate]]:
    """Group candidates by their generation."""
    groups: dict[int, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        groups[candidate.generation].append(candidate)
    return groups


def read_champion(run: RunFolder) -> Candidate | None:
    """Return the champion from a run's lineage; None without a lineage.

    Raises
    ------
    evolve.errors.EvolveError
        The lineage is damaged, or its champion failed.
    """
    if not run.lineage.is_file():
        return None
    return champion_of(Lineage(run.lineage).read(), run.read_champion())

"""A run, a simulation or a bundle as tables that SQL reads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

from evobourse.evolve.bundle import Bundle, load_bundle
from evobourse.evolve.lineage import Candidate, Lineage
from evobourse.evolve.run_folder import RunFolder
from evobourse.evolve.timings import Timings
from evobourse.experiments.errors import ConfigError
from evobourse.market.tape.daily_tape import is_tape
from evobourse.market.tape.recorded import MANIFEST_FILE, read_tape
from evobourse.market.tape.schema import SCHEMAS

VIEWS = {
    "candidates": "one row a candidate of the lineage: id, generation, score, failure, seeds",
    "parents": "one row a candidate and parent, with its weight",
    "genes": "one row a candidate and gene: its value as text, and as a number where it is one",
    "parts": "one row a candidate and part of its score: J, moments, further measures",
    "scoreboard": "the champion beside every baseline, as in scoreboard.json",
    "timings": "one row a generation: seconds, candidates",
    "personas": "one row a persona of the population",
    "mixtures": "one row a persona, layer block and style: the adapter's coefficient",
}
"""What each table of a run holds; a tape's tables are described by `market.tape.schema`."""


def open_tables(folder: Path) -> tuple[duckdb.DuckDBPyConnection, dict[str, str]]:
    """Open a database in memory on what a folder holds.

    Parameters
    ----------
    folder : Path
        A run, a simulation or tape, or a bundle. Of a run its bundle's personas are there as well.

    Returns
    -------
    connection : duckdb.DuckDBPyConnection
        With a view a table; tapes are read from disk as far as a query needs them.
    views : dict of str to str
        What each view holds, in a line.

    Raises
    ------
    ConfigError
        The folder is none of these.
    evolve.errors.RunError, market.errors.MarketError
        What it holds is damaged.
    """
    tables = {**_run_tables(RunFolder(folder)), **_tape_tables(folder)}
    if not tables:
        raise ConfigError(
            f"{folder}: no run, simulation or bundle; expected a folder with lineage.jsonl, "
            f"prices.parquet, {MANIFEST_FILE} or simulator.yaml"
        )
    connection = duckdb.connect()
    for name, table in tables.items():
        connection.register(name, table)
    return connection, {name: _describe(name) for name in tables}


def run_query(connection: duckdb.DuckDBPyConnection, sql: str) -> pa.Table:
    """Run one SQL statement; its rows as an Arrow table, which is empty if it has none.

    Raises
    ------
    ConfigError
        The statement is wrong; DuckDB's own words say where.
    """
    try:
        found = connection.sql(sql)
    except duckdb.Error as error:
        raise ConfigError(f"query: {str(error).strip()}") from error
    return pa.table({}) if found is None else found.to_arrow_table()


def _describe(name: str) -> str:
    if name in VIEWS:
        return VIEWS[name]
    return str(SCHEMAS[name].metadata[b"description"].decode())


def _run_tables(run: RunFolder) -> dict[str, pa.Table]:
    found: dict[str, pa.Table] = {}
    if run.lineage.exists():
        found |= _lineage_tables(Lineage(run.lineage).read())
        timings = [asdict(timing) for timing in Timings(run.timings).read()]
        plain = ("generation", "candidates", "seconds", "ended_ms")
        found["timings"] = pa.table({name: [t[name] for t in timings] for name in plain})
    if run.scoreboard.exists():
        found["scoreboard"] = pa.Table.from_pylist(json.loads(run.scoreboard.read_text()))
    for folder in (run.path, run.bundle):
        if (folder / "simulator.yaml").exists():
            return found | _population_tables(load_bundle(folder))
    return found


def _lineage_tables(candidates: Sequence[Candidate]) -> dict[str, pa.Table]:
    """Take the lineage apart into four tables that join by ``id``."""
    ids = [c.id for c in candidates]
    parents = [(c.id, parent, weight) for c in candidates for parent, weight in c.parents]
    genes = [
        (c.id, segment, gene, str(value), _number(value))
        for c in candidates
        for segment, values in c.genome.items()
        for gene, value in values.items()
    ]
    parts = [(c.id, name, value) for c in candidates for name, value in c.parts.items()]
    whole, real, text = pa.int64(), pa.float64(), pa.string()
    return {
        "candidates": pa.table(
            {
                "id": pa.array(ids, text),
                "generation": pa.array([c.generation for c in candidates], whole),
                "score": pa.array([c.score for c in candidates], real),
                "failure": pa.array([c.failure for c in candidates], text),
                "seeds": pa.array([list(c.seeds) for c in candidates], pa.list_(whole)),
                "recipe": pa.array([c.recipe and json.dumps(c.recipe) for c in candidates], text),
            }
        ),
        "parents": _rows(parents, id=text, parent=text, weight=real),
        "genes": _rows(genes, id=text, segment=text, gene=text, value=text, number=real),
        "parts": _rows(parts, id=text, part=text, value=real),
    }


def _rows(rows: Sequence[tuple[Any, ...]], **types: pa.DataType) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else [()] * len(types)
    arrays = (pa.array(c, t) for c, t in zip(columns, types.values(), strict=True))
    return pa.table(dict(zip(types, arrays, strict=True)))


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _population_tables(bundle: Bundle) -> dict[str, pa.Table]:
    """List who trades, and each one's mixture of styles, a coefficient a row."""
    people = bundle.population.personas
    styles = [folder.name for folder in bundle.adapters]
    mixtures = [
        (p.name, block, style, float(coefficient))
        for p in people
        for block, row in enumerate(p.mixture)
        for style, coefficient in zip(styles, row, strict=True)
    ]
    names = ("name", "profile", "base", "temperature", "share")
    return {
        "personas": pa.Table.from_pylist([{n: getattr(p, n) for n in names} for p in people]),
        "mixtures": _rows(
            mixtures, persona=pa.string(), block=pa.int64(), style=pa.string(), weight=pa.float64()
        ),
    }


def _tape_tables(folder: Path) -> dict[str, Any]:
    if not is_tape(folder):
        return {}
    if (folder / MANIFEST_FILE).is_file():
        tape = read_tape(folder)
        return {name: data for name, data in tape.datasets.items() if tape.manifest.rows[name]}
    files = {file.stem: file for file in sorted(folder.glob("*.parquet"))}
    return {name: ds.dataset(files[name]) for name in SCHEMAS if name in files}

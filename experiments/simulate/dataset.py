"""A simulation's tape as a data set with a card, as the library `datasets` and hubs read it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import yaml

from evobourse.experiments.errors import ConfigError
from evobourse.market.tape.daily_tape import is_tape
from evobourse.market.tape.recorded import MANIFEST_FILE, read_tape
from evobourse.market.tape.schema import SCHEMAS

CARD = "README.md"


def export_dataset(folder: Path, out: Path) -> list[str]:
    """Copy a tape's tables, and write their card.

    Parameters
    ----------
    folder
        The tape's.
    out
        Made; it must not hold anything.

    Returns
    -------
    list of str
        The tables, each a configuration of the data set.

    Raises
    ------
    ConfigError
        There is no tape, or something is in the way.
    market.errors.MarketError
        The tape is damaged.
    """
    if not is_tape(folder):
        raise ConfigError(f"{folder}: no simulation's tape there; name a folder that has one")
    if out.exists() and any(out.iterdir()):
        raise ConfigError(f"{out} holds something; name a folder that is new or empty")
    parts = _parts(folder)
    for name, files in parts.items():
        (out / "data" / name).mkdir(parents=True)
        for file in files:
            shutil.copyfile(file, out / "data" / name / file.name)
    (out / CARD).write_text(_card(folder, parts))
    return list(parts)


def _parts(folder: Path) -> dict[str, list[Path]]:
    """List the Parquet files of each table that has rows."""
    if (folder / MANIFEST_FILE).is_file():
        manifest = read_tape(folder).manifest
        found = {name: [folder / name / part for part in manifest.parts(name)] for name in SCHEMAS}
    else:
        found = {file.stem: [file] for file in sorted(folder.glob("*.parquet"))}
    rows = {n: sum(pq.read_metadata(file).num_rows for file in files) for n, files in found.items()}
    return {name: found[name] for name in SCHEMAS if rows.get(name)}


def _card(folder: Path, parts: dict[str, list[Path]]) -> str:
    configs = [
        {"config_name": name, "data_files": f"data/{name}/*.parquet"}
        | ({"default": True} if name == "prices" else {})
        for name in parts
    ]
    head = {"configs": configs, "tags": ["finance", "simulation", "agents", "evobourse"]}
    said = [
        f"---\n{yaml.safe_dump(head, sort_keys=False)}---\n",
        f"# {folder.resolve().name}\n",
        "Days of a market that language-model investors made, recorded by evobourse.",
        "Prices are whole ticks, amounts whole cents.\n",
        "```python",
        "from datasets import load_dataset\n",
        'prices = load_dataset("FOLDER", "prices", split="train").to_pandas()',
        "```",
    ]
    for name, files in parts.items():
        schema = pq.read_schema(files[0])
        rows = sum(pq.read_metadata(file).num_rows for file in files)
        said += [
            f"\n## {name}\n",
            f"{SCHEMAS[name].metadata[b'description'].decode()} {rows:,} rows.\n",
            "| column | type | unit | what |",
            "|---|---|---|---|",
            *(f"| {field.name} | {field.type} | {_of(name, field.name)} |" for field in schema),
        ]
    return "\n".join(said) + "\n"


def _of(table: str, column: str) -> str:
    """Say a column's unit and meaning; a crowd's own columns have none that is known here."""
    schema = SCHEMAS[table]
    if column not in schema.names:
        return " | the crowd's own"
    metadata = schema.field(column).metadata
    return " | ".join(metadata[key].decode().strip() for key in (b"unit", b"description"))

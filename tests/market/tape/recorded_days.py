"""Days of rows for every table of a tape, drawn from a seed and the day, recorded anywhere.

Also runs as ``python recorded_days.py FOLDER N``, without pytest.
"""

import sys
from pathlib import Path

import numpy as np

from evobourse.market.tape.recorder import Recorder
from evobourse.market.tape.schema import SCHEMAS

INSTRUMENTS = ({"name": "IF2406", "tick_cents": 20, "lot": 300}, {"name": "naïf", "fee_bps": 0.5})
SPARSE = ("accounts", "holdings", "depth")
TEXTS = np.array(["", "news", "naïf", "価格が上がる", "a\nb\x00c", "🙂" * 9], dtype=object)
OWN_COLUMNS = {"tendency": "double", "style": "string", "n": "uint8", "mood": "float", "ok": "bool"}


def draw_day(day):
    """Return the columns of each table that has rows on a day."""
    rng = np.random.default_rng((7, day))
    tables = {}
    for table, schema in SCHEMAS.items():
        types = {field.name: str(field.type) for field in schema}
        if table == "decisions":
            types |= OWN_COLUMNS
        count = int(rng.integers(0, 40)) * (rng.random() < 0.8)
        if count and (table not in SPARSE or day % 5 == 0):
            columns = {name: draw_column(rng, type_, count) for name, type_ in types.items()}
            tables[table] = columns | {"day": np.full(count, day)}
    return tables


def draw_column(rng, type_, count):
    if type_ == "string":
        return rng.choice(TEXTS, count)
    if type_ == "bool":
        return rng.random(count) < 0.5
    if type_ in ("double", "float"):
        values = rng.normal(size=count).astype("f8" if type_ == "double" else "f4")
        values[rng.random(count) < 0.1] = np.nan
        return values
    limits = np.iinfo(type_)
    values = rng.integers(limits.min, limits.max, count, type_, endpoint=True)
    values[rng.random(count) < 0.1] = rng.choice([limits.min, limits.max])
    return values


def record_day(recorder, day, tables, splits=1):
    """Record a day's rows, each table in as many batches, the tables in turns."""
    for batch in range(splits):
        for table, columns in tables.items():
            count = len(columns["day"])
            rows = slice(batch * count // splits, (batch + 1) * count // splits)
            recorder.record(table, {name: values[rows] for name, values in columns.items()})
    recorder.end_day(day)


def run(folder, days, splits=3, draw=draw_day, **budgets):
    """Record the days that a folder lacks; return the digest."""
    with Recorder(Path(folder), INSTRUMENTS, **budgets) as recorder:
        for day in range(recorder.day, days):
            record_day(recorder, day, draw(day), splits)
    return recorder.digest


if __name__ == "__main__":
    run(sys.argv[1], int(sys.argv[2]), part_bytes=20_000, part_days=4)

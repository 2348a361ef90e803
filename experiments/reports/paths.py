"""Paths of daily log returns, market by market, as one Parquet file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

Returns = NDArray[np.float64]
REAL = "real"


def paths_to_bytes(real: Returns, simulated: Mapping[str, Returns]) -> bytes:
    """Write markets as a table with a row a path.

    Parameters
    ----------
    real, simulated
        Daily log returns, float64[paths, days].

    Returns
    -------
    bytes
        Columns ``market`` (``real`` is the real one) and ``log_returns``, in the order given.
    """
    markets = {REAL: real, **simulated}
    names = [name for name, paths in markets.items() for _ in paths]
    rows = [list(path) for paths in markets.values() for path in paths]
    table = pa.table({"market": names, "log_returns": pa.array(rows, pa.list_(pa.float64()))})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return bytes(sink.getvalue())


def read_paths(file: Path) -> dict[str, Returns]:
    """Read what `paths_to_bytes` wrote: float64[paths, days] by market, ``real`` first."""
    table = pq.read_table(file).to_pydict()
    found: dict[str, list[list[float]]] = {}
    for market, path in zip(table["market"], table["log_returns"], strict=True):
        found.setdefault(market, []).append(path)
    return {market: np.array(paths, np.float64) for market, paths in found.items()}

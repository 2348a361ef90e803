"""Real windows of the S&P 500, and adapters that were trained for them for a few steps."""

import copy
from dataclasses import dataclass

import numpy as np
import pytest

from agents.encodings.encoding import Encoding
from agents.encodings.window import real_windows, widen
from agents.examples import labelled_dataset, real_levels, sample_days
from agents.training import TrainingConfig, train_adapter

TINY = TrainingConfig(rank=2, top_layers=2, steps=4, batch=4, seed=11)


@dataclass(frozen=True)
class Seen:
    """Views of real days, and the days' windows."""

    views: np.ndarray
    windows: np.ndarray


@pytest.fixture(scope="session")
def seen(sp500):
    """What investors saw on 48 real days: all price signs or none, and some of the others."""
    part = sp500.slice(0, 700)
    levels = real_levels(part.close, part.volume)
    days, views = sample_days(levels, 48, 3, np.random.default_rng(5))
    return Seen(widen(views, levels[days]), real_windows(part.close)[days])


@pytest.fixture(scope="session")
def train_tiny(smol, seen):
    """Train an adapter of an encoding for four steps on a copy of the real model."""

    def train(name, folder, model=None):
        encoding = Encoding(name)
        record = {"styles": ["momentum"], "series": "sp500", "years": ["1999", "2001"]}
        record |= {"encoding": name} if encoding.numeric else {}
        windows = seen.windows if encoding.numeric else None
        train_adapter(
            name,
            labelled_dataset(seen.views, ("momentum",), windows),
            model or copy.deepcopy(smol[0]),
            smol[1],
            TINY,
            folder,
            record,
            encoding=encoding,
        )
        return folder / name

    return train


@pytest.fixture(scope="session")
def tiny(train_tiny, tmp_path_factory):
    """Folders of three tiny adapters, one an encoding."""
    root = tmp_path_factory.mktemp("encodings")
    return {name: train_tiny(name, root) for name in ("words", "digits", "patches")}

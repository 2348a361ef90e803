"""Markets are the same wherever they are run, and whatever is run beside them."""

import itertools
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

from agents.stand_ins import TeacherMinds
from agents.styles import STYLES
from evolve.stage import Stage, World, play, play_market
from market.rules import MarketRules
from market.splits import make_splits

SPLITS = {
    "train": ("1999-01-04", "2006-12-29"),
    "validation": ("2007-06-01", "2010-06-30"),
    "heldout": ("2010-12-01", "2018-12-31"),
}


@pytest.fixture
def stage(sp500, offsets):
    return Stage(sp500, World(offsets, MarketRules(), 60, 15))


@pytest.fixture
def parts(sp500, stage, population):
    train = make_splits(sp500, **SPLITS).train
    cast = tuple(map(tuple, np.eye(len(STYLES)).tolist()))
    people = population(cast), population(cast[::-1], momentary_mask=0.4)
    return [(who, stage.history(train, seed), seed) for who in people for seed in (1, 2, 3)]


def test_tapes_do_not_depend_on_the_number_of_workers(stage, parts):
    heard = itertools.count()
    minds = TeacherMinds(STYLES)
    alone, shared = (play(stage.world, parts, minds, n, lambda: next(heard)) for n in (1, 2))
    digests = [tape.digest() for tape in alone]
    assert [tape.digest() for tape in shared] == digests
    assert len(set(digests)) == len(parts)
    assert next(heard) == 2 * len(parts)


def test_a_full_record_changes_no_price(stage, parts):
    from agents.crowd import tabulate_choices

    minds = TeacherMinds(STYLES)
    [prices] = play(stage.world, parts[:1], minds)
    [choices] = tabulate_choices([parts[0][0]], minds)
    full = play_market(stage.world, parts[0], choices, "full")
    np.testing.assert_array_equal(full.close_ticks, prices.close_ticks)
    assert len(full.decisions) == 60 * 15
    assert prices.decisions is None


def test_a_window_and_its_history_come_from_the_split(sp500, stage):
    split = make_splits(sp500, **SPLITS).validation
    for seed in range(20):
        start = stage.window_start(split, seed)
        assert split.start <= start <= split.stop - 15
        history = stage.history(split, seed)
        assert history[-1] == 10_000
        ratio = sp500.close[start - 1] / sp500.close[0]
        assert history[-1] / history[0] == pytest.approx(ratio, rel=1e-3)


BUSY = """
import sys
import numpy as np
from agents.order_generator import OffsetClusters
from agents.persona import Persona, Population, Society
from agents.observation import FIELD_NAMES
from agents.stand_ins import RandomMinds
from evolve.stage import World, play
from market.rules import MarketRules

world = World(OffsetClusters((1.0,), (0.0,), (1.0,)), MarketRules(), 20, 100_000)
society = Society(dict.fromkeys(FIELD_NAMES, 0.0))
who = Population((Persona("p", "", ((0.0,),), 1.0, 1.0),), society)
history = np.full(1000, 10_000) + np.arange(1000) % 7
play(world, [(who, history, seed) for seed in range(4)], RandomMinds(), 2)
"""


def test_workers_end_with_a_killed_sweep():
    process = subprocess.Popen([sys.executable, "-c", BUSY])
    sweep = psutil.Process(process.pid)
    until = time.monotonic() + 60
    while len(family := sweep.children(recursive=True)) < 3 and time.monotonic() < until:
        time.sleep(0.1)  # two workers and joblib's resource tracker
    time.sleep(3)
    process.kill()
    process.wait()
    assert len(family) >= 3
    _, alive = psutil.wait_procs(family, timeout=20)
    assert not alive

"""Markets are the same wherever they are run, and whatever is run beside them."""

import itertools
from contextlib import closing

import numpy as np
import pytest

from evobourse.agents.minds.stand_ins import TeacherMinds
from evobourse.agents.styles import FIRST_STYLES as STYLES
from evobourse.evolve.executors.executor import InProcess
from evobourse.evolve.executors.processes import local_processes
from evobourse.evolve.markets import MarketWindows, World, play, play_market, play_markets
from evobourse.market.rules import MarketRules
from evobourse.market.series.splits import make_splits

SPLITS = {
    "train": ("1999-01-04", "2006-12-29"),
    "validation": ("2007-06-01", "2010-06-30"),
    "heldout": ("2010-12-01", "2018-12-31"),
}


@pytest.fixture
def windows(sp500, offsets):
    return MarketWindows(sp500, World(offsets, MarketRules(), 60, 15))


@pytest.fixture
def parts(sp500, windows, population):
    train = make_splits(sp500, **SPLITS).train
    cast = tuple(map(tuple, np.eye(len(STYLES)).tolist()))
    people = population(cast), population(cast[::-1], momentary_mask=0.4)
    return [(who, windows.history(train, seed), seed) for who in people for seed in (1, 2, 3)]


def test_tapes_do_not_depend_on_the_number_of_workers(windows, parts):
    heard = itertools.count()
    minds = TeacherMinds(STYLES)
    with closing(local_processes(2)) as two:
        alone, shared = (
            play(windows.world, parts, minds, executor, lambda: next(heard))
            for executor in (InProcess(), two)
        )
    digests = [tape.digest() for tape in alone]
    assert [tape.digest() for tape in shared] == digests
    assert len(set(digests)) == len(parts)
    assert next(heard) == 2 * len(parts)


def test_tapes_do_not_depend_on_the_number_of_threads(windows, parts):
    from evobourse.agents.minds.choices import tabulate_choices

    tables = tabulate_choices([who for who, _, _ in parts], TeacherMinds(STYLES))
    digests = [
        [tape.digest() for tape in play_markets(windows.world, parts, tables, threads)]
        for threads in (1, 2, 5)
    ]
    assert digests[0] == digests[1] == digests[2]


def test_a_full_record_changes_no_price(windows, parts):
    from evobourse.agents.minds.choices import tabulate_choices

    minds = TeacherMinds(STYLES)
    [prices] = play(windows.world, parts[:1], minds)
    [choices] = tabulate_choices([parts[0][0]], minds)
    full = play_market(windows.world, parts[0], choices, "full")
    np.testing.assert_array_equal(full.close_ticks, prices.close_ticks)
    assert len(full.decisions) == 60 * 15
    assert prices.decisions is None


def test_a_window_and_its_history_come_from_the_split(sp500, windows):
    split = make_splits(sp500, **SPLITS).validation
    for seed in range(20):
        start = windows.window_start(split, seed)
        assert split.start <= start <= split.stop - 15
        history = windows.history(split, seed)
        assert history[-1] == 10_000
        ratio = sp500.close[start - 1] / sp500.close[0]
        assert history[-1] / history[0] == pytest.approx(ratio, rel=1e-3)

"""Draws by counter: published known answers, and nobody's depend on anybody else's."""

import numpy as np
import pytest
from scipy.stats import chisquare, kstest

from evobourse.market.philox import (
    Purpose,
    arrival_time,
    arrival_times,
    draw_key,
    draw_uniform,
    draw_words,
    philox,
)

KEY = np.uint64(2026)

# The vectors of philox4x32, 10 rounds, in Random123's kat_vectors (Salmon et al. 2011).
KNOWN = [
    ((0, 0, 0, 0), (0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
]


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN)
def test_known_answers(counter, key, answer):
    words = philox(*map(np.uint64, counter), np.uint64(key[0] | key[1] << 32))
    assert " ".join(f"{int(word):08x}" for word in words) == answer
    np.testing.assert_array_equal(
        words, philox.py_func(*map(np.uint64, counter), np.uint64(key[0] | key[1] << 32))
    )


def test_many_words_are_those_of_single_calls_whoever_else_draws():
    few, many = draw_words(7, 3, 1, Purpose.DAY, KEY), draw_words(50, 3, 1, Purpose.DAY, KEY)
    np.testing.assert_array_equal(few, many[:, :7])
    for agent in range(7):
        counter = map(np.uint64, (agent, 3, 1, Purpose.DAY))
        np.testing.assert_array_equal(few[:, agent], philox(*counter, KEY))


def test_another_day_turn_purpose_or_key_is_another_draw():
    drawn = [
        draw_words(4, *where, key).tobytes()
        for where in ((3, 1, 4), (4, 1, 4), (3, 2, 4), (3, 1, 5))
        for key in (KEY, KEY + np.uint64(1), np.uint64(2026 << 32))
    ]
    assert len(set(drawn)) == 12
    purposes = [value for name, value in vars(Purpose).items() if name.isupper()]
    assert len(set(purposes)) == len(purposes) == 14


def test_words_are_uniform_and_their_halves_independent():
    words = draw_words(100_000, 0, 0, Purpose.DAY, KEY)
    low, high = words & np.uint32(0xFF), words >> np.uint32(24)
    for row in range(4):
        assert chisquare(np.bincount(low[row], minlength=256)).pvalue > 1e-4
        pair = (low[row] % 16).astype(int) * 16 + high[(row + 1) % 4] % 16
        assert chisquare(np.bincount(pair, minlength=256)).pvalue > 1e-4
    news = [draw_uniform(day, Purpose.NEWS, KEY) for day in range(5_000)]
    assert kstest(news, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(news[1:], news[:-1])[0, 1]) < 0.06


def test_arrival_depends_on_the_agent_its_orders_and_the_turn_alone():
    few = arrival_times(np.array([4, 2, 4]), 9, 1, KEY)
    more = arrival_times(np.array([1, 4, 4, 2, 7]), 9, 1, KEY)
    assert few[0] == more[1] == arrival_time(4, 0, 9, 1, KEY)
    assert few[2] == more[2] == arrival_time(4, 1, 9, 1, KEY)
    assert few[1] == more[3]
    assert len({int(x) for x in more}) == 5
    assert few[0] != arrival_time(4, 0, 9, 0, KEY)
    assert len(arrival_times(np.zeros(0, np.int64), 0, 0, KEY)) == 0


def test_a_key_comes_from_the_stream_that_was_handed_in():
    keys = {int(draw_key(np.random.default_rng(seed))) for seed in (1, 1, 2, 3)}
    assert len(keys) == 3
    assert max(keys) > 2**40

"""Random numbers by counter: Philox-4x32-10, so that a draw depends on whom it is for alone.

A number is a function of a key (a market's or crowd's seed) and of who draws it, when and what for.
Nobody's draws change when others draw more or fewer, and a day's can be made without those before.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

_LOW = np.uint64(0xFFFFFFFF)
_WORD = np.uint64(32)
_MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_FIRST, _SECOND = _MULTIPLIERS
_STEP_0, _STEP_1 = _WEYL
_ROUNDS = 10
_BYTE = np.uint64(8)
_IN_1, _IN_2, _UP = np.uint64(5), np.uint64(6), np.uint64(26)


class Purpose:
    """What a number is drawn for; a number is never drawn for two."""

    ARRIVAL = 0
    DEAL = 1
    FIELDS = 2
    WEALTH = 3
    DAY = 4
    DAY_MORE = 5
    MOVE = 6
    NEWS = 7
    MASK = 8
    CIRCLES = 9
    POSTS = 10
    LIKES = 11
    QUOTE = 12
    READING = 13


_ARRIVAL = np.uint64(Purpose.ARRIVAL)


@njit(cache=True, inline="always")
def philox(
    agent: np.uint64, day: np.uint64, turn: np.uint64, purpose: np.uint64, key: np.uint64
) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """Return four random words of 32 bits.

    Parameters
    ----------
    agent, day, turn, purpose
        The counter, four words of 32 bits; `purpose` is a `Purpose`, plus 256 times the row of a
        draw where one agent makes several.
    key
        64 bits.

    Notes
    -----
    Philox-4x32 of ten rounds: Salmon, Moraes, Dror and Shaw (2011), Parallel random numbers: as
    easy as 1, 2, 3, SC '11, doi:10.1145/2063384.2063405. 64-bit words hold the 32-bit ones, so
    that a product of two of them is one multiplication.
    """
    c0, c1, c2, c3 = agent, day, turn, purpose
    k0, k1 = key & _LOW, key >> _WORD
    for _ in range(_ROUNDS):
        first, second = _FIRST * c0, _SECOND * c2
        c0, c1, c2, c3 = (
            (second >> _WORD) ^ c1 ^ k0,
            second & _LOW,
            (first >> _WORD) ^ c3 ^ k1,
            first & _LOW,
        )
        k0, k1 = (k0 + _STEP_0) & _LOW, (k1 + _STEP_1) & _LOW
    return c0, c1, c2, c3


@njit(cache=True)
def fill_words(
    words: NDArray[np.uint32], day: int, turn: int, purpose: int, key: np.uint64
) -> None:
    """Draw four words for each of n agents, in place: uint32[4, n]."""
    day_word, turn_word, what = np.uint64(day), np.uint64(turn), np.uint64(purpose)
    for agent in range(words.shape[1]):
        a, b, c, d = philox(np.uint64(agent), day_word, turn_word, what, key)
        words[0, agent], words[1, agent] = np.uint32(a), np.uint32(b)
        words[2, agent], words[3, agent] = np.uint32(c), np.uint32(d)


@njit(cache=True)
def draw_words(n: int, day: int, turn: int, purpose: int, key: np.uint64) -> NDArray[np.uint32]:
    """Draw four words for each of n agents: uint32[4, n]."""
    words = np.empty((4, n), np.uint32)
    fill_words(words, day, turn, purpose, key)
    return words


@njit(cache=True)
def draw_uniform(day: int, purpose: int, key: np.uint64, row: int = 0) -> float:
    """Draw one number of a market's day, or one a row, uniform in (0, 1), of 53 bits."""
    zero = np.uint64(0)
    a, b, _, _ = philox(np.uint64(row), np.uint64(day), zero, np.uint64(purpose), key)
    bits = ((a >> _IN_1) << _UP) | (b >> _IN_2)
    return float((float(bits) + 0.5) * 2.0**-53)


@njit(cache=True)
def arrival_time(agent: int, nth: int, day: int, turn: int, key: np.uint64) -> np.uint64:
    """Draw when the nth order of an agent arrives in a turn, a number of 64 bits."""
    purpose = _ARRIVAL | (np.uint64(nth) << _BYTE)
    a, b, _, _ = philox(np.uint64(agent), np.uint64(day), np.uint64(turn), purpose, key)
    return (a << _WORD) | b


@njit(cache=True)
def arrival_times(
    agent: NDArray[np.int64], day: int, turn: int, key: np.uint64
) -> NDArray[np.uint64]:
    """Draw when orders arrive in a turn, agents int64[m]: uint64[m], smaller is earlier."""
    times, nth, before = np.empty(agent.size, np.uint64), 0, -1
    for order in np.argsort(agent, kind="mergesort"):
        nth = nth + 1 if agent[order] == before else 0
        before = agent[order]
        times[order] = arrival_time(agent[order], nth, day, turn, key)
    return times


def draw_key(rng: np.random.Generator) -> np.uint64:
    """Draw a key of 64 bits from a stream, which then need not be drawn from again."""
    return np.uint64(rng.integers(0, 2**64, dtype=np.uint64))

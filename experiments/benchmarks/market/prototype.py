"""The bare loop that the fast market is held against: one generator, no cases, nothing exact.

It sees, decides, orders and clears as a sweep's market does, with tables of the same sizes, but
drops orders outside a band, knows no fees, limits, learning or arrival, and its draws depend on
all before them.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from numba import njit, uint64
from numpy.typing import NDArray

_TICKS = 4096
_VIEWS = 9216


def prepare(agents: int) -> tuple[NDArray[np.generic], ...]:
    """Make tables and agents of no meaning but of the usual sizes, for `play`."""
    rng = np.random.default_rng(0)
    steps = np.sort(rng.integers(0, 1 << 24, (8, _VIEWS, 4)), axis=2).astype(np.uint32)
    sees = np.sort(rng.integers(0, 6, (agents, 2)), axis=1)
    persona, lots = rng.integers(0, 8, agents), rng.integers(50, 500, agents)
    codes = np.array([1, 6, 36, 144, 576, 0])
    normals = (np.random.default_rng(seed).standard_normal(_TICKS) for seed in (1, 2))
    return (steps, codes, sees, persona, lots, *normals)


def play(days: int, tables: tuple[NDArray[np.generic], ...], seed: int) -> int:
    """Play days; return the lots traded."""
    steps, codes, sees, persona, lots, heard, offsets = tables
    cash, shares = np.asarray(lots) * 1_000_000, np.asarray(lots) * 100
    own = persona.copy()
    return int(_play(days, steps, codes, sees, own, lots, heard, offsets, cash, shares, seed))


@njit(inline="always")
def _rotate(x: np.uint64, k: int) -> np.uint64:
    return (x << uint64(k)) | (x >> uint64(64 - k))


@njit
@no_type_check  # numbers change their types as they go
def _play(days, steps, codes, sees, persona, lots, heard, offsets, cash, shares, seed):
    s0 = uint64(seed) * uint64(0x9E3779B97F4A7C15) + uint64(1)
    s1 = uint64(seed) ^ uint64(0xD1B54A32D192ED03)
    s2, s3 = uint64(0x94D049BB133111EB), uint64(seed + 12345)
    agents, attention = sees.shape
    bought, sold = np.zeros(_TICKS, np.int64), np.zeros(_TICKS, np.int64)
    side, tick = np.empty(agents, np.int8), np.empty(agents, np.int32)
    owner = np.empty(agents, np.int64)
    reference, traded = 10_000, 0
    for _ in range(days):
        low, high, count, base = _TICKS, 0, 0, reference - _TICKS // 2
        for i in range(agents):
            # xoshiro256++, twice
            r = _rotate(s0 + s3, 23) + s0
            t = s1 << uint64(17)
            s2 ^= s0
            s3 ^= s1
            s1 ^= s2
            s0 ^= s3
            s2 ^= t
            s3 = _rotate(s3, 45)
            q = _rotate(s0 + s3, 23) + s0
            t = s1 << uint64(17)
            s2 ^= s0
            s3 ^= s1
            s1 ^= s2
            s0 ^= s3
            s2 ^= t
            s3 = _rotate(s3, 45)
            if (r & uint64(0xFFFF)) < uint64(300):
                persona[i] = np.int64((q >> uint64(40)) & uint64(7))
            view, news = 0, heard[(r >> uint64(16)) & uint64(4095)]
            mask = r >> uint64(28)
            for a in range(attention):
                field = sees[i, a]
                if (mask & uint64(255)) >= uint64(25):
                    if field == 5:
                        view += (1 + (news > 0.5) + (news > -0.5)) * 2304
                    else:
                        view += codes[field]
                mask >>= uint64(8)
            part = np.uint32(q & uint64(0xFFFFFF))
            row = steps[persona[i], view]
            k = (part >= row[0]) + (part >= row[1]) + (part >= row[2]) + (part >= row[3]) - 2
            if ((q >> uint64(24)) & uint64(0xFFFF)) >= uint64(52000):
                continue
            x = 1.2 * k + 0.5 * offsets[(q >> uint64(44)) & uint64(4095)]
            y = x * 0.01
            limit = np.int64(
                reference * (1 + y * (1 + y * (0.5 + y * (0.16666667 + y * 0.041666667)))) + 0.5
            )
            want = lots[i] * (1 + abs(k))
            j = limit - base
            if j < 0 or j >= _TICKS:
                continue
            if x > 0:
                if want * limit > cash[i]:
                    continue
                bought[j] += want
                side[count] = 1
            else:
                if want > shares[i]:
                    continue
                sold[j] += want
                side[count] = -1
            tick[count], owner[count] = j, i
            count += 1
            low, high = min(low, j), max(high, j)
        demand, supply, best, at = 0, 0, 0, _TICKS // 2
        gap = 1 << 60
        for j in range(low, high + 1):
            demand += bought[j]
        for j in range(low, high + 1):
            supply += sold[j]
            volume, off = min(demand, supply), abs(demand - supply)
            if volume > best or (
                volume == best
                and (off < gap or (off == gap and abs(j - _TICKS // 2) < abs(at - _TICKS // 2)))
            ):
                best, gap, at = volume, off, j
            demand -= bought[j]
            bought[j] = sold[j] = 0
        price, buys, sells = base + at, best, best
        for c in range(count):
            i = owner[c]
            want = lots[i]
            if side[c] > 0:
                if tick[c] >= at and buys > 0:
                    filled = min(want, buys)
                    buys -= filled
                    cash[i] -= filled * price
                    shares[i] += filled
            elif tick[c] <= at and sells > 0:
                filled = min(want, sells)
                sells -= filled
                cash[i] += filled * price
                shares[i] -= filled
        reference = price
        traded += best
    return traded

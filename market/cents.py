"""Parts of an amount in whole cents, compiled."""

from numba import njit


@njit(cache=True)
def part(value_cents: int, rate_bps: int) -> int:
    """Return ``value_cents * rate_bps / 10,000``, fractions of a cent dropped."""
    whole, rest = divmod(value_cents, 10_000)
    return whole * rate_bps + rest * rate_bps // 10_000


@njit(cache=True)
def part_up(value_cents: int, rate_bps: int) -> int:
    """Return ``value_cents * rate_bps / 10,000`` rounded up to a cent."""
    whole, rest = divmod(value_cents, 10_000)
    return whole * rate_bps + (rest * rate_bps + 9_999) // 10_000

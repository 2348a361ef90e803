"""The rules of a market: how orders meet, tick, price limit and fee."""

import math
from dataclasses import dataclass
from typing import Literal

from numba import njit

from evobourse.market.errors import MarketError

Clearing = Literal["call", "continuous", "impact"]
"""How a turn's orders meet: at one price, as they come, or at a price that demand moves."""


@dataclass(frozen=True)
class MarketRules:
    """What holds for every order of a market.

    Attributes
    ----------
    tick_cents : int
        Value of one price tick in cents, at least 1.
    price_limit : float
        Largest distance of a limit price from the day's reference, as a fraction of the
        reference, in (0, 1).
    fee_bps : int
        Fee on the value traded, in basis points (1/10,000), 0 to 10,000, paid by each side.

    Raises
    ------
    MarketError
        If a value is out of its range.
    """

    tick_cents: int = 1
    price_limit: float = 0.2
    fee_bps: int = 0

    def __post_init__(self) -> None:
        if self.tick_cents < 1:
            raise MarketError(f"tick_cents is {self.tick_cents}, expected at least 1")
        if not 0 < self.price_limit < 1:
            raise MarketError(f"price_limit is {self.price_limit}, expected between 0 and 1")
        if not 0 <= self.fee_bps <= 10_000:
            raise MarketError(f"fee_bps is {self.fee_bps}, expected 0 to 10000")

    def price_band(self, reference_ticks: int) -> tuple[int, int]:
        """Return the lowest and highest limit price of a day; see `price_band`."""
        return price_band(self.price_limit, reference_ticks)


@njit(cache=True)
def price_band(price_limit: float, reference_ticks: int) -> tuple[int, int]:
    """Return the lowest and highest limit price of a day, both allowed.

    Parameters
    ----------
    price_limit : float
        Largest distance from the reference, as a fraction of it.
    reference_ticks : int
        The day's reference price, over 0.

    Returns
    -------
    tuple of (int, int)
        ``reference -+ floor(price_limit * reference)`` ticks, but at least one tick either way,
        so that a low price can still move, and never under 1.
    """
    # The small number undoes products such as 0.29 * 100 = 28.999999999999996.
    reach = max(1, math.floor(price_limit * reference_ticks + 1e-9))
    return max(1, reference_ticks - reach), reference_ticks + reach

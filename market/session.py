"""The course of a trading day: its turns, and what holds in them."""

import math
from dataclasses import dataclass

from evobourse.market.book.order_events import SelfTrade
from evobourse.market.crowd import Clearing
from evobourse.market.errors import MarketError


@dataclass(frozen=True)
class SessionRules:
    """The turns of a day and what holds in them.

    Attributes
    ----------
    turns : tuple of {"call", "continuous", "impact"}
        How each turn's orders meet: cleared at one price, matched as they come in a random order
        of arrival, or filled by a dealer at a price that net demand moves. In all of them, what
        rested before takes part. ``("call", "continuous", "continuous", "call")`` is a day with
        an opening and a closing auction.
    self_trade : SelfTrade
        What happens when an agent's order meets one of its own in continuous trading.
    impact_per_lot : float
        Log price per lot of net demand, in turns of kind "impact".
    depth_levels : int
        Prices a side that crowds see of a book.

    Raises
    ------
    MarketError
        If there is no turn, one of an unknown kind, or one of kind "impact" without an impact.
    """

    turns: tuple[Clearing, ...] = ("call",)
    self_trade: SelfTrade = SelfTrade.CANCEL_RESTING
    impact_per_lot: float = 0.0
    depth_levels: int = 10

    def __post_init__(self) -> None:
        known = ("call", "continuous", "impact")
        if not self.turns or any(turn not in known for turn in self.turns):
            raise MarketError(f"turns are {self.turns}, expected at least one of {known}")
        if "impact" in self.turns and not 0.0 < self.impact_per_lot < math.inf:
            raise MarketError(
                f"impact_per_lot is {self.impact_per_lot}, expected a number over 0: a turn of "
                "kind 'impact' needs one"
            )

"""What can be traded: shares and futures, with their ticks, limits, costs and margins."""

from dataclasses import dataclass
from typing import Literal

from evobourse.market.errors import MarketError
from evobourse.market.rules import price_band

ShortSales = Literal["forbidden", "allowed", "uptick"]


@dataclass(frozen=True)
class Instrument:
    """Terms of one asset.

    All rates are whole basis points (1/10,000), so that every amount is exact in cents.

    Attributes
    ----------
    name : str
        What tapes and messages call it.
    kind : {"equity", "future"}
        An equity is paid in full and owned; a future is a position, positive or negative, whose
        gains and losses are paid every day at the settlement price.
    tick_cents : int
        Value of one tick of one unit, at least 1.
    lot_units : int
        Units in a lot: shares of a round lot, or a contract's size, at least 1. Orders count
        lots.
    price_limit : float
        Largest distance of a limit price from the day's reference, as a fraction, in (0, 1).
    fee_bps, sell_tax_bps : int
        Fee of both sides and tax of the seller on the value traded, together 0 to 5,000; of each
        trade, fractions of a cent are dropped.
    sell_next_day : bool
        T+1: what was bought today can be sold tomorrow. Equities that cannot be sold short.
    short_sales : {"forbidden", "allowed", "uptick"}
        Whether an equity can be sold without being held: never, always, or at a limit above the
        last trade alone.
    initial_margin_bps, maintenance_margin_bps : int
        What a future position, or a short one in an equity on top of its proceeds, takes in cash
        at the last settlement price: to be opened, and to be kept; 1 to 10,000 and initial at
        least maintenance. Read for futures and short sales alone.

    Raises
    ------
    MarketError
        If a value is out of its range or does not go with another.
    """

    name: str
    kind: Literal["equity", "future"] = "equity"
    tick_cents: int = 1
    lot_units: int = 1
    price_limit: float = 0.2
    fee_bps: int = 0
    sell_tax_bps: int = 0
    sell_next_day: bool = False
    short_sales: ShortSales = "forbidden"
    initial_margin_bps: int = 1_500
    maintenance_margin_bps: int = 1_000

    def __post_init__(self) -> None:
        where = f"instrument {self.name!r}"
        for key, allowed in (
            ("kind", ("equity", "future")),
            ("short_sales", ("forbidden", "allowed", "uptick")),
        ):
            if getattr(self, key) not in allowed:
                raise MarketError(f"{where}: {key} is {getattr(self, key)!r}, expected {allowed}")
        for key, lowest, highest in (
            ("tick_cents", 1, 2**20),
            ("lot_units", 1, 2**20),
            ("fee_bps", 0, 10_000),
            ("sell_tax_bps", 0, 10_000),
            ("initial_margin_bps", 1, 10_000),
            ("maintenance_margin_bps", 1, 10_000),
        ):
            value = getattr(self, key)
            if not isinstance(value, int) or not lowest <= value <= highest:
                raise MarketError(f"{where}: {key} is {value}, expected {lowest} to {highest}")
        if not 0 < self.price_limit < 1:
            raise MarketError(f"{where}: price_limit is {self.price_limit}, expected 0 to 1")
        if self.fee_bps + self.sell_tax_bps > 5_000:
            raise MarketError(f"{where}: fee and tax exceed half the value; lower one of them")
        if self.lot_tick_cents > 2**24:
            raise MarketError(f"{where}: a tick of a lot is over 2**24 cents; make lots smaller")
        if self.maintenance_margin_bps > self.initial_margin_bps:
            raise MarketError(
                f"{where}: maintenance_margin_bps is {self.maintenance_margin_bps}, expected at "
                f"most the initial margin of {self.initial_margin_bps}"
            )
        if self.sell_next_day and (self.kind == "future" or self.short_sales != "forbidden"):
            raise MarketError(
                f"{where}: sell_next_day holds for equities that cannot be sold short alone"
            )

    @property
    def lot_tick_cents(self) -> int:
        """Cents by which the value of a lot changes with one tick."""
        return self.tick_cents * self.lot_units

    def price_band(self, reference_ticks: int) -> tuple[int, int]:
        """Return the lowest and highest limit price of a day; see `market.rules.price_band`."""
        return price_band(self.price_limit, reference_ticks)

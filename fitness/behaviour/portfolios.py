"""What every agent owned on every day, worked out backwards from a full tape."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evobourse.fitness.errors import FitnessError
from evobourse.fitness.moments import FloatArray
from evobourse.market.cents import part_up
from evobourse.market.rules import MarketRules
from evobourse.market.tape.daily_tape import Tape

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Portfolios:
    """Balances of N agents over T days in one asset.

    Parameters
    ----------
    price_cents : int64 array, shape [T + 1]
        Close before day 0, then the close of each day, at which all of its fills traded.
    shares, cash_cents : int64 array, shape [T + 1, N]
        Before day 0, then at the end of each day.
    traded_shares : int64 array, shape [T, N]
        Shares bought and sold, both counted as positive.
    fees_cents : int64 array, shape [T, N]
        Fees paid.
    """

    price_cents: IntArray
    shares: IntArray
    cash_cents: IntArray
    traded_shares: IntArray
    fees_cents: IntArray

    @property
    def wealth_cents(self) -> IntArray:
        """Cash and shares at the close, shape [T + 1, N]."""
        return self.cash_cents + self.shares * self.price_cents[:, None]

    @property
    def gain_cents(self) -> IntArray:
        """What each day's decision brought by the next close, after its fees, shape [T - 1, N].

        The portfolio that an agent goes home with on a day is that day's doing; the price of the
        next day judges it.
        """
        return (self.shares[1:-1] * np.diff(self.price_cents[1:])[:, None]) - self.fees_cents[:-1]


def rebuild_portfolios(tape: Tape, rules: MarketRules) -> Portfolios:
    """Work out all balances from a tape's fills and its last accounts.

    Parameters
    ----------
    tape : market.tape.Tape
        Recorded in full, of a market with one price a day.
    rules : market.rules.MarketRules
        Of that market: what a tick is worth and what a trade costs.

    Returns
    -------
    Portfolios
        Exact: the balances before day 0 are those that the market began with.

    Raises
    ------
    FitnessError
        If the tape has no orders, or fees other than its rules charge.
    """
    orders = tape.orders
    if orders is None:
        raise FitnessError("the tape has no orders: record it in full (record='full')")
    filled = orders[orders["filled"] > 0]
    day, agent, side, quantity = (
        filled[name].to_numpy(np.int64) for name in ("day", "agent", "side", "filled")
    )
    closes = np.concatenate(([tape.initial_close_ticks], tape.close_ticks))
    price_cents = closes * rules.tick_cents
    value = quantity * price_cents[day + 1]
    shape = (len(tape), len(tape.accounts))
    fee = np.array([part_up(v, rules.fee_bps) for v in value.tolist()], np.int64)
    if fee.sum() != tape.accounts.fees_cents:
        raise FitnessError(
            f"the fills cost {fee.sum()} cents of fees at {rules.fee_bps} basis points, the tape "
            f"has {tape.accounts.fees_cents}: give the rules that the market had"
        )
    net, traded, fees, paid = (np.zeros(shape, np.int64) for _ in range(4))
    for total, amount in ((net, side * quantity), (traded, quantity), (fees, fee)):
        np.add.at(total, (day, agent), amount)
    np.add.at(paid, (day, agent), side * value + fee)
    return Portfolios(
        price_cents=price_cents,
        shares=_backwards(tape.accounts.shares, net),
        cash_cents=_backwards(tape.accounts.cash_cents, -paid),
        traded_shares=traded,
        fees_cents=fees,
    )


def hold_value(portfolios: Portfolios) -> FloatArray:
    """Value of the shares held when each day opens, at that day's close, in cents, shape [T, N]."""
    return np.asarray(portfolios.shares[:-1] * portfolios.price_cents[1:, None], np.float64)


def _backwards(last: IntArray, changes: IntArray) -> IntArray:
    """Balances [T + 1, N] that end in `last` after daily changes [T, N]."""
    later = np.cumsum(changes[::-1], axis=0)[::-1]
    return np.concatenate([last - later, last[None]])

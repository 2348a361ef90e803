"""Cash and shares of every agent: what an order may use, and what a trade moves."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Numba's cache watches this file alone: after a change to it, delete __pycache__.
from evobourse.market.cents import part_up
from evobourse.market.crowd import Orders
from evobourse.market.errors import MarketError
from evobourse.market.rules import MarketRules


class RejectReason(IntEnum):
    """Why an order was turned away whole; ACCEPTED if it was not."""

    ACCEPTED = 0
    NO_CASH = 1
    NO_SHARES = 2
    BAD_PRICE = 3
    BAD_QUANTITY = 4


_NO_CASH = int(RejectReason.NO_CASH)
_NO_SHARES = int(RejectReason.NO_SHARES)
_BAD_PRICE = int(RejectReason.BAD_PRICE)
_BAD_QUANTITY = int(RejectReason.BAD_QUANTITY)
_MOST_CENTS, _ABSURD_CENTS = 2**63 - 1, 2.0**61


@dataclass(eq=False)
class Accounts:
    """Long-only cash accounts, changed in place by settlement.

    Attributes
    ----------
    cash_cents : NDArray[np.int64]
        Cash of each agent, shape [n], at least 0.
    shares : NDArray[np.int64]
        Holdings of each agent, shape [n], at least 0.
    fees_cents : int
        Pool of all fees paid; ``cash_cents.sum() + fees_cents`` never changes.

    Raises
    ------
    MarketError
        If the arrays are not of integers, differ in shape or hold a negative balance.
    """

    cash_cents: NDArray[np.int64]
    shares: NDArray[np.int64]
    fees_cents: int = 0

    def __post_init__(self) -> None:
        for name in ("cash_cents", "shares"):
            received = np.asarray(getattr(self, name))
            if received.dtype.kind not in "iu" or received.shape != (len(self.cash_cents),):
                raise MarketError(
                    f"accounts.{name} is {received.dtype} of shape {received.shape}, "
                    f"expected integers of shape ({len(self.cash_cents)},)"
                )
            balance = np.array(received, dtype=np.int64)
            if balance.size and balance.min() < 0:
                row = int(balance.argmin())
                raise MarketError(f"accounts.{name}[{row}] is {balance[row]}, expected 0 or more")
            setattr(self, name, balance)

    def __len__(self) -> int:
        return len(self.cash_cents)

    def copy(self) -> "Accounts":
        """Return accounts of their own with the same balances."""
        return Accounts(self.cash_cents, self.shares, self.fees_cents)

    def screen(
        self,
        orders: Orders,
        sequence: NDArray[np.int64],
        rules: MarketRules,
        reference_ticks: int,
    ) -> NDArray[np.int8]:
        """Decide which orders are let in; no balance changes.

        An order reserves what it may need at its limit price (a buy its value and fee, a sell
        its shares), on top of its agent's earlier accepted orders. One that exceeds what is
        free is turned away whole, never cut down. Expected proceeds of a sell pay for nothing.

        Parameters
        ----------
        orders : Orders
            Orders of the day, m of them.
        sequence : NDArray[np.int64]
            Indices of the orders from first to last arrival, shape [m].
        rules : MarketRules
            Tick value, price limit and fee.
        reference_ticks : int
            Centre of the price limit.

        Returns
        -------
        NDArray[np.int8]
            :class:`RejectReason` of each order, shape [m]; the first that applies of
            BAD_QUANTITY (under 1), BAD_PRICE (outside the limit), NO_CASH or NO_SHARES.

        Raises
        ------
        MarketError
            If an order names an agent without an account.
        """
        if len(orders) and not 0 <= orders.agent.min() <= orders.agent.max() < len(self):
            wrong = int(np.flatnonzero((orders.agent < 0) | (orders.agent >= len(self)))[0])
            raise MarketError(
                f"orders.agent[{wrong}] is {orders.agent[wrong]}, expected 0 to {len(self) - 1}"
            )
        lowest_ticks, highest_ticks = rules.price_band(reference_ticks)
        return screen_orders(
            orders.agent,
            orders.side,
            orders.price_ticks,
            orders.quantity,
            sequence,
            self.cash_cents.copy(),
            self.shares.copy(),
            lowest_ticks,
            highest_ticks,
            rules.tick_cents,
            rules.fee_bps,
        )

    def settle(
        self, orders: Orders, filled: NDArray[np.int64], price_ticks: int, rules: MarketRules
    ) -> None:
        """Exchange shares, cash and fees for what was filled, all at one price.

        Each filled order pays ``fee_bps`` of its value, rounded up to a cent, into the pool.

        Parameters
        ----------
        orders : Orders
            Orders of the day, accepted by :meth:`screen` where filled.
        filled : NDArray[np.int64]
            Shares traded by each order, shape [m]; buys and sells add up to the same.
        price_ticks : int
            The clearing price.
        rules : MarketRules
            Tick value and fee.
        """
        self.fees_cents += settle_fills(
            orders.agent,
            orders.side,
            filled,
            price_ticks * rules.tick_cents,
            rules.fee_bps,
            self.cash_cents,
            self.shares,
        )


@njit(cache=True)
def screen_orders(
    agent: NDArray[np.int64],
    side: NDArray[np.int8],
    price_ticks: NDArray[np.int64],
    quantity: NDArray[np.int64],
    sequence: NDArray[np.int64],
    free_cash: NDArray[np.int64],
    free_shares: NDArray[np.int64],
    lowest_ticks: int,
    highest_ticks: int,
    tick_cents: int,
    fee_bps: int,
) -> NDArray[np.int8]:
    """Decide which orders are let in, see `Accounts.screen`; what is free is used up in place."""
    reason = np.zeros(agent.size, np.int8)
    for order in sequence:
        owner = agent[order]
        found, cost_cents, sold = judge_order(
            (side[order], price_ticks[order], quantity[order]),
            (free_cash[owner], free_shares[owner]),
            (lowest_ticks, highest_ticks, tick_cents, fee_bps),
        )
        reason[order] = found
        free_cash[owner] -= cost_cents if found == 0 else 0
        free_shares[owner] -= sold if found == 0 else 0
    return reason


@njit(cache=True)
def judge_orders(
    agent: NDArray[np.int64],
    side: NDArray[np.int8],
    price_ticks: NDArray[np.int64],
    quantity: NDArray[np.int64],
    cash_cents: NDArray[np.int64],
    shares: NDArray[np.int64],
    rules: tuple[int, int, int, int],
) -> tuple[NDArray[np.int8], NDArray[np.int64], int, int]:
    """Judge orders that do not wait for each other, see `judge_order`.

    Returns
    -------
    reason, let_in, bought, sold
        int8[m]; int64[m], the quantity or 0; and what is let in on either side.
    """
    orders = agent.size
    reason, let_in = np.empty(orders, np.int8), np.empty(orders, np.int64)
    free_cash, free_shares = np.empty(orders, np.int64), np.empty(orders, np.int64)
    # Balances are looked up by themselves, so that orders are judged several at a time.
    for order in range(orders):
        free_cash[order], free_shares[order] = cash_cents[agent[order]], shares[agent[order]]
    for order in range(orders):
        found, _, _ = judge_order(
            (side[order], price_ticks[order], quantity[order]),
            (free_cash[order], free_shares[order]),
            rules,
        )
        reason[order], let_in[order] = found, quantity[order] if found == 0 else 0
    bought, sold = 0, 0
    for order in range(orders):
        bought += let_in[order] if side[order] > 0 else 0
        sold += let_in[order] if side[order] < 0 else 0
    return reason, let_in, bought, sold


@njit(cache=True)
def judge_order(
    order: tuple[int, int, int], free: tuple[int, int], rules: tuple[int, int, int, int]
) -> tuple[int, int, int]:
    """Return an order's :class:`RejectReason`, and the cash and shares that it reserves.

    Parameters
    ----------
    order
        Side, limit in ticks, quantity.
    free
        Cash and shares that its agent may use.
    rules
        Lowest and highest limit of the day, tick value and fee.
    """
    (side, price_ticks, lots), (cash_cents, shares) = order, free
    lowest_ticks, highest_ticks, tick_cents, fee_bps = rules
    # No branch depends on a side, which nobody can foresee: both are counted.
    cost_cents = int(side > 0) * _cost(lots, price_ticks * tick_cents, fee_bps)
    sold = int(side < 0) * lots
    reason = _NO_SHARES if sold > shares else 0
    reason = _NO_CASH if cost_cents > cash_cents else reason
    reason = reason if lowest_ticks <= price_ticks <= highest_ticks else _BAD_PRICE
    reason = reason if lots >= 1 else _BAD_QUANTITY
    return reason, cost_cents, sold


@njit(cache=True)
def _cost(quantity: int, price_cents: int, fee_bps: int) -> int:
    """Return what a buy may cost; of an absurd quantity, whose value overflows, more than any."""
    absurd = float(quantity) * float(price_cents) > _ABSURD_CENTS
    value_cents = (0 if absurd else quantity) * price_cents
    cost_cents = value_cents + (part_up(value_cents, fee_bps) if fee_bps else 0)
    return _MOST_CENTS if absurd else cost_cents


@njit(cache=True)
def settle_fills(
    agent: NDArray[np.int64],
    side: NDArray[np.int8],
    filled: NDArray[np.int64],
    price_cents: int,
    fee_bps: int,
    cash_cents: NDArray[np.int64],
    shares: NDArray[np.int64],
) -> int:
    """Exchange shares and cash, in place, and return the fees, see `Accounts.settle`."""
    pool_cents = 0
    for order in range(agent.size):  # of nothing filled, nothing is paid
        value_cents = filled[order] * price_cents
        fee = part_up(value_cents, fee_bps) if fee_bps else 0
        cash_cents[agent[order]] -= side[order] * value_cents + fee
        shares[agent[order]] += side[order] * filled[order]
        pool_cents += fee
    return pool_cents

"""The compiled loops of a ledger: what an order takes, what a trade moves, what margins require."""

from typing import Any, TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

from evobourse.market.book.order_events import Kind, Reason

# Numba's cache watches this file alone: after a change to one of these, delete __pycache__.
from evobourse.market.cents import part, part_up

# What one asset costs and requires.
TERMS = np.dtype(
    [
        ("future", np.bool_),
        ("sell_next_day", np.bool_),
        ("short_sales", np.int8),  # 0 forbidden, 1 allowed, 2 above the last trade
        ("lot_tick_cents", np.int64),
        ("fee_bps", np.int64),
        ("tax_bps", np.int64),
        ("initial_bps", np.int64),
        ("maintenance_bps", np.int64),
        ("mark_ticks", np.int64),
    ]
)

MAX_VALUE_CENTS = 2**56
"""Orders worth more than this could overflow a sum, and no account bears them."""

Cents: TypeAlias = NDArray[np.int64]
Lots: TypeAlias = NDArray[np.int64]
Terms: TypeAlias = NDArray[np.void]
Term: TypeAlias = Any


@njit(cache=True)
def _margin(term: Term, position: int, buying: int, selling: int) -> int:
    """Return the initial margin of a position and of the worst that its orders can make of it."""
    lot_cents = term.mark_ticks * term.lot_tick_cents
    size = abs(position)
    if term.future:
        more, back = (buying, selling) if position >= 0 else (selling, buying)
        worst = size + max(more, back - size)
        return int(part_up(worst * lot_cents, term.initial_bps))
    short = max(0, -position)
    pending = max(0, selling - max(0, position))
    return int(short * lot_cents + part_up((short + pending) * lot_cents, term.initial_bps))


@njit(cache=True)
def _cash_needed(
    term: Term, position: int, buying: int, selling: int, side: int, price_ticks: int, lots: int
) -> int:
    """Return the cash that an order may cost at its limit, beside its margin.

    An order that makes a position smaller sets margin free as it trades: it needs only what
    exceeds that.
    """
    limit_cents = price_ticks * term.lot_tick_cents
    mark_cents = term.mark_ticks * term.lot_tick_cents
    loss_cents = max(0, side * (limit_cents - mark_cents))
    costs_bps = term.fee_bps + (term.tax_bps if side < 0 else 0)
    if term.future:
        needed = lots * loss_cents + part_up(lots * limit_cents, costs_bps)
        standing = buying if side > 0 else selling
        if position * side < 0 and standing + lots <= abs(position):
            needed = max(0, needed - part(lots * mark_cents, term.initial_bps))
        return int(needed)
    if side > 0:
        cover = min(lots, max(0, -position - buying))
        needed = lots * limit_cents + part_up(lots * limit_cents, costs_bps)
        needed -= cover * mark_cents + part(cover * mark_cents, term.initial_bps)
        return int(max(0, needed))
    short = lots - min(lots, max(0, position - selling))
    return int(short * loss_cents + part_up(short * limit_cents, costs_bps))


@njit(cache=True)
def margin_holds(terms: Terms, position: Lots, buying: Lots, selling: Lots) -> Cents:
    """Return the initial margin of all assets together, shape [n]."""
    held = np.zeros(len(position), np.int64)
    for agent in range(len(position)):
        for asset in range(terms.size):
            held[agent] += _margin(
                terms[asset],
                position[agent, asset],
                buying[agent, asset],
                selling[agent, asset],
            )
    return held


@njit(cache=True)
def add_orders(
    asset: int,
    agent: NDArray[np.int64],
    side: NDArray[np.int8],
    price_ticks: NDArray[np.int64],
    quantity: Lots,
    terms: Terms,
    position: Lots,
    held_cash: Cents,
    held_margin: Cents,
    buying: Lots,
    selling: Lots,
) -> None:
    """Add what one asset's resting orders take to the holds, in place."""
    for order in range(agent.size):
        _take_hold(
            terms[asset],
            asset,
            agent[order],
            side[order],
            price_ticks[order],
            quantity[order],
            position,
            held_cash,
            held_margin,
            buying,
            selling,
        )


@njit(cache=True)
def _take_hold(
    term: Term,
    asset: int,
    agent: int,
    side: int,
    price_ticks: int,
    lots: int,
    position: Lots,
    held_cash: Cents,
    held_margin: Cents,
    buying: Lots,
    selling: Lots,
) -> None:
    owned = position[agent, asset]
    held_cash[agent] += _cash_needed(
        term, owned, buying[agent, asset], selling[agent, asset], side, price_ticks, lots
    )
    before = _margin(term, owned, buying[agent, asset], selling[agent, asset])
    if side > 0:
        buying[agent, asset] += lots
    else:
        selling[agent, asset] += lots
    held_margin[agent] += _margin(term, owned, buying[agent, asset], selling[agent, asset]) - before


@njit(cache=True)
def screen_orders(
    kind: NDArray[np.int8],
    agent: NDArray[np.int64],
    side: NDArray[np.int8],
    price_ticks: NDArray[np.int64],
    quantity: Lots,
    asset: NDArray[np.int16],
    terms: Terms,
    cash: Cents,
    position: Lots,
    unsettled: Lots,
    queued: Lots,
    held_cash: Cents,
    held_margin: Cents,
    buying: Lots,
    selling: Lots,
    limits_ticks: NDArray[np.int64],
    last_ticks: NDArray[np.int64],
    halted: NDArray[np.bool_],
) -> NDArray[np.int8]:
    """Return why each order is turned away, 0 if it is not; see `market.ledger.Ledger.screen`."""
    reason = np.zeros(kind.size, np.int8)
    for order in range(kind.size):
        row, owner = asset[order], agent[order]
        if kind[order] > Kind.REPLACE:
            continue
        if halted[row]:
            reason[order] = Reason.HALTED
            continue
        if queued[owner].any():
            reason[order] = Reason.MARGIN_CALL
            continue
        lowest, highest = limits_ticks[row]
        limit = price_ticks[order]
        if kind[order] == Kind.MARKET:
            limit = highest if side[order] > 0 else lowest
        lots = quantity[order]
        if lots < 1 or not lowest <= limit <= highest:
            continue  # the book turns it away
        term = terms[row]
        if lots > MAX_VALUE_CENTS // (max(limit, term.mark_ticks) * term.lot_tick_cents):
            reason[order] = Reason.BAD_QUANTITY
            continue
        owned, selling_now = position[owner, row], selling[owner, row]
        free_lots = max(0, owned) - unsettled[owner, row] - selling_now
        if side[order] < 0 and not term.future and lots > free_lots:
            if term.short_sales == 0:
                reason[order] = Reason.NO_HOLDINGS
                continue
            if term.short_sales == 2 and limit <= last_ticks[row]:
                reason[order] = Reason.SHORT_SALE
                continue
        needed = _cash_needed(
            term, owned, buying[owner, row], selling_now, side[order], limit, lots
        )
        more_buying = buying[owner, row] + (lots if side[order] > 0 else 0)
        more_selling = selling_now + (lots if side[order] < 0 else 0)
        more_margin = _margin(term, owned, more_buying, more_selling) - _margin(
            term, owned, buying[owner, row], selling_now
        )
        free_cents = cash[owner] - held_cash[owner] - held_margin[owner]
        # An order that needs nothing is let in whatever is free: selling shares, say.
        if needed + more_margin > max(0, free_cents):
            bought = side[order] > 0 and not term.future
            reason[order] = Reason.NO_CASH if bought else Reason.NO_MARGIN
            continue
        _take_hold(
            term, row, owner, side[order], limit, lots,
            position, held_cash, held_margin, buying, selling,
        )  # fmt: skip
    return reason


@njit(cache=True)
def trade(
    term: Term,
    asset: int,
    buyer: NDArray[np.int64],
    seller: NDArray[np.int64],
    price_ticks: NDArray[np.int64],
    quantity: Lots,
    sign: int,
    cash: Cents,
    position: Lots,
    unsettled: Lots,
) -> tuple[int, int]:
    """Book trades, or with a sign of -1 take them back; return the fees and the taxes."""
    fees, taxes = 0, 0
    for row in range(buyer.size):
        value = quantity[row] * price_ticks[row] * term.lot_tick_cents
        paid = value
        if term.future:
            paid -= quantity[row] * term.mark_ticks * term.lot_tick_cents
        fee, tax = part(value, term.fee_bps), part(value, term.tax_bps)
        cash[buyer[row]] -= sign * (paid + fee)
        cash[seller[row]] += sign * (paid - fee - tax)
        position[buyer[row], asset] += sign * quantity[row]
        position[seller[row], asset] -= sign * quantity[row]
        if term.sell_next_day:
            unsettled[buyer[row], asset] += sign * quantity[row]
        fees += sign * 2 * fee
        taxes += sign * tax
    return fees, taxes


@njit(cache=True)
def required(terms: Terms, position: Lots, rate_bps: NDArray[np.int64]) -> Cents:
    """Return the cash that positions require at the marks, shape [n]."""
    held = np.zeros(len(position), np.int64)
    for agent in range(len(position)):
        for asset in range(terms.size):
            term, lots = terms[asset], position[agent, asset]
            value = abs(lots) * term.mark_ticks * term.lot_tick_cents
            if term.future:
                held[agent] += part_up(value, rate_bps[asset])
            elif lots < 0:
                held[agent] += value + part_up(value, rate_bps[asset])
    return held


@njit(cache=True)
def close_out(
    called: NDArray[np.int64], terms: Terms, cash: Cents, position: Lots, queued: Lots
) -> None:
    """Queue the lots that bring each agent called back to the initial margin, in place.

    Positions that take margin shrink by one common share, rounded up to lots. An agent short of
    cash as such sells equities, asset by asset, until their value at the mark covers it.
    """
    initial = required(terms, position, terms["initial_bps"])
    for agent in called:
        missing = min(initial[agent], initial[agent] - cash[agent])
        for asset in range(terms.size):
            lots = position[agent, asset]
            if initial[agent] > 0 and (terms[asset].future or lots < 0):
                share = missing / initial[agent]
                less = min(abs(lots), int(np.ceil(abs(lots) * share)))
                queued[agent, asset] = -less if lots > 0 else less
        debt = -cash[agent]
        for asset in range(terms.size):
            lots = position[agent, asset]
            if not terms[asset].future and lots > 0 and debt > 0:
                term = terms[asset]
                lot_cents = term.mark_ticks * term.lot_tick_cents
                lot_cents -= part_up(lot_cents, term.fee_bps + term.tax_bps)
                less = min(lots, (debt + max(1, lot_cents) - 1) // max(1, lot_cents))
                queued[agent, asset] = -less
                debt -= less * lot_cents

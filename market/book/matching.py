"""Price-time priority, compiled: a run of events against one book, in a single call.

Single orders are validated before, in `market.book.book`.
"""

from typing import TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Numba's cache watches this file alone: after a change to one of these, delete __pycache__.
from evobourse.market.book.auction import clear_call_auction
from evobourse.market.book.order_events import Kind, Phase, Reason, SelfTrade, Status, TimeInForce

# An order or another event; 64 bytes, so that looking at one loads one line of cache.
SLOT = np.dtype(
    [
        ("agent", np.int64),
        ("level", np.int64),  # row of the limit price in the ladder, best, rising with it
        ("price_ticks", np.int64),
        ("remaining", np.int64),
        ("cancelled", np.int64),
        ("expires", np.int64),
        ("ahead", np.int32),  # neighbours in the queue of a level, -1 at its ends
        ("behind", np.int32),
        ("side", np.int8),
        ("time_in_force", np.int8),
        ("post_only", np.bool_),
        ("status", np.int8),
        ("reason", np.int8),
    ],
    align=True,
)

# A trade, orders and event by slot.
FILL = np.dtype(
    [
        ("event", np.int64),
        ("buy", np.int64),
        ("sell", np.int64),
        ("price_ticks", np.int64),
        ("quantity", np.int64),
        ("aggressor", np.int8),
    ],
    align=True,
)

# The queue of one side and level: its first and last slot, -1 if it is empty.
QUEUE = np.dtype([("first", np.int64), ("last", np.int64)])

Slots: TypeAlias = NDArray[np.void]
Trades: TypeAlias = NDArray[np.void]
Ladder: TypeAlias = NDArray[np.void]
Best: TypeAlias = NDArray[np.int64]


@njit(cache=True)
def match_events(
    kind: NDArray[np.int8],
    time: NDArray[np.int64],
    target: NDArray[np.int64],
    slots: Slots,
    ladder: Ladder,
    best: Best,
    fills: Trades,
    expiring: NDArray[np.int64],
    phase: int,
    self_trade: int,
    last_ticks: int,
) -> tuple[int, int]:
    """Process events one after the other, changing ``slots``, ``ladder`` and ``fills`` in place.

    Parameters
    ----------
    kind, time, target : NDArray
        :class:`Kind`, time stamp (never falling) and slot of the order meant by a CANCEL or
        REPLACE (-1 if there is none) of each event, shape [m].
    slots : Slots
        The resting orders by time priority, then the events, as :data:`SLOT`, shape [n]. An
        event to be rejected whatever the book holds comes with its reason; ``remaining`` of a
        CANCEL is what to keep.
    ladder : Ladder
        Empty queues of the buys (row 0) and the sells, as :data:`QUEUE`, shape [2, L].
    best : Best
        Level of the best buy and sell, -1 and L as long as there are none, shape [2].
    fills : Trades
        Room for trades, as :data:`FILL`, shape [n]; more cannot happen, since a trade completes
        one order at least.
    expiring : NDArray[np.int64]
        Slots of GOOD_TILL_TIME orders by time of expiry.
    phase, self_trade, last_ticks : int
        :class:`Phase` to begin in, :class:`SelfTrade`, last traded or reference price.

    Returns
    -------
    phase, traded : int
        The phase at the end, and the number of trades.
    """
    resting = slots.size - kind.size
    for slot in range(resting):
        _append(slots, ladder, best, slot)
    traded, due = 0, 0
    for event in range(kind.size):
        slot = resting + event
        while due < expiring.size and slots[expiring[due]].expires <= time[event]:
            if slots[expiring[due]].status == Status.RESTING:
                _cancel(slots, ladder, best, expiring[due], Reason.EXPIRED)
            due += 1
        if slots[slot].reason == Reason.NONE:
            slots[slot].reason = _refuse(
                kind[event], target[event], slots, ladder, best, slot, phase, self_trade
            )
        if slots[slot].reason != Reason.NONE:
            slots[slot].status = Status.REJECTED
            slots[slot].remaining = 0
        elif kind[event] <= Kind.REPLACE:
            if kind[event] == Kind.REPLACE:
                _cancel(slots, ladder, best, target[event], Reason.REPLACED)
            if phase == Phase.CALL:
                _append(slots, ladder, best, slot)
            else:
                traded = _take(slots, ladder, best, fills, traded, slot, self_trade)
                if slots[slot].remaining > 0:
                    _rest(slots, ladder, best, slot)
        else:
            slots[slot].status = Status.DONE
            if kind[event] == Kind.CANCEL:
                _reduce(slots, ladder, best, target[event], slots[slot].remaining)
            elif kind[event] == Kind.CALL:
                phase = Phase.CALL
            elif kind[event] == Kind.UNCROSS:
                reference = fills[traded - 1].price_ticks if traded else last_ticks
                traded = _uncross(slots, ladder, best, fills, traded, slot, reference)
                _sweep(slots, ladder, best, TimeInForce.IMMEDIATE_OR_CANCEL, Reason.NO_LIQUIDITY)
                phase = Phase.CONTINUOUS
            else:
                _sweep(slots, ladder, best, TimeInForce.DAY, Reason.END_OF_DAY)
            slots[slot].remaining = 0
    return phase, traded


@njit(cache=True)
def _refuse(
    kind: int,
    target: int,
    slots: Slots,
    ladder: Ladder,
    best: Best,
    slot: int,
    phase: int,
    self_trade: int,
) -> int:
    """Return why the state of the book forbids an event, NONE if it does not."""
    if kind <= Kind.REPLACE:
        if kind == Kind.REPLACE and not (
            _may_change(slots, target, slot) and slots[target].side == slots[slot].side
        ):
            return Reason.UNKNOWN_ORDER
        if phase == Phase.CALL:
            if slots[slot].post_only or slots[slot].time_in_force == TimeInForce.FILL_OR_KILL:
                return Reason.WRONG_PHASE
        elif slots[slot].post_only and _crosses(slots, best, slot):
            return Reason.WOULD_TAKE
        elif slots[slot].time_in_force == TimeInForce.FILL_OR_KILL and not _can_fill(
            slots, ladder, best, slot, self_trade
        ):
            return Reason.NOT_FILLABLE
    elif kind == Kind.CANCEL and not _may_change(slots, target, slot):
        return Reason.UNKNOWN_ORDER
    elif kind == Kind.UNCROSS and phase != Phase.CALL:
        return Reason.WRONG_PHASE
    return Reason.NONE


@njit(cache=True)
def _may_change(slots: Slots, target: int, slot: int) -> bool:
    rests = target >= 0 and slots[target].status == Status.RESTING
    return bool(rests and slots[target].agent == slots[slot].agent)


@njit(cache=True)
def _row(side: int) -> int:
    return 0 if side > 0 else 1


@njit(cache=True)
def _crosses(slots: Slots, best: Best, slot: int) -> bool:
    side = slots[slot].side
    return bool(side * (slots[slot].level - best[_row(-side)]) >= 0)


@njit(cache=True)
def _can_fill(slots: Slots, ladder: Ladder, best: Best, slot: int, self_trade: int) -> bool:
    """Return whether what rests on the other side fills the whole order at once."""
    side, wanted = slots[slot].side, slots[slot].remaining
    other = _row(-side)
    level = best[other]
    while wanted > 0 and side * (slots[slot].level - level) >= 0:
        maker = ladder[other, level].first
        while maker >= 0:
            own = slots[maker].agent == slots[slot].agent
            if own and self_trade == SelfTrade.CANCEL_INCOMING:
                return bool(wanted <= 0)
            if not own or self_trade == SelfTrade.ALLOW:
                wanted -= slots[maker].remaining
            maker = slots[maker].behind
        level += side
    return bool(wanted <= 0)


@njit(cache=True)
def _take(
    slots: Slots, ladder: Ladder, best: Best, fills: Trades, traded: int, slot: int, self_trade: int
) -> int:
    """Match an incoming order with what rests, at the makers' prices; return the trades."""
    side = slots[slot].side
    other = _row(-side)
    while slots[slot].remaining > 0 and _crosses(slots, best, slot):
        maker = ladder[other, best[other]].first
        if self_trade != SelfTrade.ALLOW and slots[maker].agent == slots[slot].agent:
            if self_trade == SelfTrade.CANCEL_INCOMING:
                _end(slots, slot, Reason.SELF_TRADE)
            else:
                _cancel(slots, ladder, best, maker, Reason.SELF_TRADE)
            continue
        quantity = min(slots[slot].remaining, slots[maker].remaining)
        buy, sell = (slot, maker) if side > 0 else (maker, slot)
        price_ticks = slots[maker].price_ticks
        _trade(slots, fills, traded, slot, buy, sell, price_ticks, quantity, side)
        traded += 1
        if slots[maker].remaining == 0:
            _remove(slots, ladder, best, maker)
    return traded


@njit(cache=True)
def _uncross(
    slots: Slots,
    ladder: Ladder,
    best: Best,
    fills: Trades,
    traded: int,
    slot: int,
    reference_ticks: int,
) -> int:
    """Clear the call at one price, best limits first; return the trades.

    Only orders between the best sell and the best buy can trade or weigh on the price: at any
    other price one side has no orders at all.
    """
    crossing = np.empty(slots.size, np.int64)
    size = 0
    for level in range(best[1], best[0] + 1):
        for row in range(2):
            order = ladder[row, level].first
            while order >= 0:
                crossing[size] = order
                size += 1
                order = slots[order].behind
    crossing = crossing[:size]
    price_ticks, filled = clear_call_auction(
        slots["side"][crossing],
        slots["price_ticks"][crossing],
        slots["remaining"][crossing],
        crossing,
        reference_ticks,
    )
    volume = filled.sum() // 2
    while volume > 0:
        buy, sell = ladder[0, best[0]].first, ladder[1, best[1]].first
        quantity = min(volume, slots[buy].remaining, slots[sell].remaining)
        _trade(slots, fills, traded, slot, buy, sell, price_ticks, quantity, 0)
        traded += 1
        volume -= quantity
        for order in (buy, sell):
            if slots[order].remaining == 0:
                _remove(slots, ladder, best, order)
    return traded


@njit(cache=True)
def _trade(
    slots: Slots,
    fills: Trades,
    row: int,
    event: int,
    buy: int,
    sell: int,
    price_ticks: int,
    quantity: int,
    aggressor: int,
) -> None:
    fills[row].event = event
    fills[row].buy = buy
    fills[row].sell = sell
    fills[row].price_ticks = price_ticks
    fills[row].quantity = quantity
    fills[row].aggressor = aggressor
    for order in (buy, sell):
        slots[order].remaining -= quantity
        if slots[order].remaining == 0:
            slots[order].status = Status.FILLED


@njit(cache=True)
def _rest(slots: Slots, ladder: Ladder, best: Best, slot: int) -> None:
    """Keep what an order could not trade, unless it is not to wait."""
    if slots[slot].time_in_force >= TimeInForce.IMMEDIATE_OR_CANCEL:
        _end(slots, slot, Reason.NO_LIQUIDITY)
    else:
        _append(slots, ladder, best, slot)


@njit(cache=True)
def _reduce(slots: Slots, ladder: Ladder, best: Best, slot: int, keep: int) -> None:
    """Cancel all but ``keep`` of what rests; the order keeps its place in the queue."""
    if keep == 0:
        _cancel(slots, ladder, best, slot, Reason.OWNER)
    elif keep < slots[slot].remaining:
        slots[slot].cancelled += slots[slot].remaining - keep
        slots[slot].remaining = keep


@njit(cache=True)
def _sweep(slots: Slots, ladder: Ladder, best: Best, time_in_force: int, reason: int) -> None:
    """Cancel all resting orders of one time in force."""
    for row in range(2):
        for level in range(ladder.shape[1]):
            slot = ladder[row, level].first
            while slot >= 0:
                behind = slots[slot].behind
                if slots[slot].time_in_force == time_in_force:
                    _cancel(slots, ladder, best, slot, reason)
                slot = behind


@njit(cache=True)
def _cancel(slots: Slots, ladder: Ladder, best: Best, slot: int, reason: int) -> None:
    _remove(slots, ladder, best, slot)
    _end(slots, slot, reason)


@njit(cache=True)
def _end(slots: Slots, slot: int, reason: int) -> None:
    slots[slot].status = Status.CANCELLED
    slots[slot].reason = reason
    slots[slot].cancelled += slots[slot].remaining
    slots[slot].remaining = 0


@njit(cache=True)
def _append(slots: Slots, ladder: Ladder, best: Best, slot: int) -> None:
    """Put an order at the end of its level's queue."""
    side, level = slots[slot].side, slots[slot].level
    row = _row(side)
    ahead = ladder[row, level].last
    slots[slot].status = Status.RESTING
    slots[slot].ahead = ahead
    slots[slot].behind = -1
    ladder[row, level].last = slot
    if ahead >= 0:
        slots[ahead].behind = slot
    else:
        ladder[row, level].first = slot
        if side * (level - best[row]) > 0:
            best[row] = level


@njit(cache=True)
def _remove(slots: Slots, ladder: Ladder, best: Best, slot: int) -> None:
    """Take an order out of its queue, and find the next best level if it was the last there."""
    side, level = slots[slot].side, slots[slot].level
    row = _row(side)
    ahead, behind = slots[slot].ahead, slots[slot].behind
    if ahead >= 0:
        slots[ahead].behind = behind
    else:
        ladder[row, level].first = behind
    if behind >= 0:
        slots[behind].ahead = ahead
    else:
        ladder[row, level].last = ahead
    while level == best[row] and 0 <= level < ladder.shape[1] and ladder[row, level].first < 0:
        level -= side
        best[row] = level

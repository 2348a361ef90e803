"""What compiled days read and change: agents, personas, society, path, and the record of days."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.crowds.order_law import OrderHabits
from evobourse.agents.society.contest import Rivalry
from evobourse.agents.society.life import SocialLife
from evobourse.market.daily_auction import Market, Rows
from evobourse.market.philox import arrival_times


class AgentState(NamedTuple):
    """Agents, changed in place: int64[n], int8[n, A], float64[n]; their balances, int64[n]."""

    persona: NDArray[np.int64]
    sees: NDArray[np.int8]
    usual_lots: NDArray[np.float64]
    cash_cents: NDArray[np.int64]
    shares: NDArray[np.int64]


class PersonaState(NamedTuple):
    """Personas, whose success changes; see the loops that take each."""

    share: NDArray[np.float64]
    success: NDArray[np.float64]
    never: NDArray[np.bool_]
    receptivity: NDArray[np.float64]
    orders: OrderHabits
    steps: NDArray[np.int32]
    row_of: NDArray[np.int16]


class SocietyState(NamedTuple):
    """What agents have in common; see the loops that take each."""

    habits: tuple[float, float, float]
    hearing: tuple[float, float, float]
    rates: NDArray[np.float64]
    keep: float
    volatility_weight: float


class MechanismState(NamedTuple):
    """Settings of the society's mechanisms; see the loops that take each."""

    both: NDArray[np.bool_]
    half_spread: float
    shared: NDArray[np.float64]
    misalignment: float
    lean: NDArray[np.float64]
    value_rates: tuple[float, float]
    equity_sized: float
    loss_asymmetry: float


class SocialState(NamedTuple):
    """A society's state, changed in place, and its settings; without agents for strangers.

    See `agents.society.life` and `agents.society.links`.
    """

    spots: tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]
    pairs: tuple[NDArray[np.int64], NDArray[np.int64]]
    numbers: tuple[float, float, float, int, float]
    contagion: float
    profiles: NDArray[np.float64]
    mood: NDArray[np.float64]
    voice: NDArray[np.float64]
    likes: NDArray[np.float64]
    peers: NDArray[np.float64]
    key: np.uint64


class ContestState(NamedTuple):
    """What a contest counts, changed in place; see `agents.society.contest`.

    Without agents in `held` profits are not counted, without views in `taught` faith is not.
    """

    held: NDArray[np.int64]
    cost: NDArray[np.float64]
    taught: NDArray[np.int8]
    score: NDArray[np.float64]
    weight: NDArray[np.float64]


class PathState(NamedTuple):
    """Closes int64[H + T] and their logarithms, the history filled in; volumes int64[T]."""

    close_ticks: NDArray[np.int64]
    log_path: NDArray[np.float64]
    volume: NDArray[np.int64]


class DayRecord(NamedTuple):
    """What agents decided, [T, n] each, and ordered, [T, n * k]; T is 0 where nothing is kept.

    Of k orders that an agent may send they have as many places in a row; a side of 0 stands for no
    order.
    """

    persona: NDArray[np.int64]
    seen: NDArray[np.int64]
    tendency: NDArray[np.int64]
    mood: NDArray[np.float64]
    side: NDArray[np.int8]
    price_ticks: NDArray[np.int64]
    quantity: NDArray[np.int64]
    reason: NDArray[np.int8]
    filled: NDArray[np.int64]


def social_state(life: SocialLife | None) -> SocialState:
    """Return a society's state for compiled loops; moods are copies, the rest is its own."""
    if life is None:
        none, numbers, small = np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int32)
        nothing = np.zeros((0, 0)), numbers, numbers, numbers, numbers
        settings = (0.0, 0.0, 0.0, 0, 0.0)
        return SocialState(
            (none, small, small), (none, none), settings, 0.0, *nothing, np.uint64(0)
        )
    circles = life.circles
    return SocialState(
        (circles.starts, circles.neighbour, circles.pair),
        (circles.first, circles.second),
        life.numbers,
        float(life.social.contagion),
        life.profiles.weights,
        life.mood.copy(),
        life.voice,
        life.likes,
        life.peers.copy(),
        life.key,
    )


def contest_state(rivalry: Rivalry | None) -> ContestState:
    """Return what a contest counts; the arrays are its own."""
    nothing = np.zeros(0, np.int64), np.zeros(0), np.zeros((0, 0), np.int8)
    if rivalry is None:
        return ContestState(*nothing, np.zeros(0), np.zeros(0))
    held, cost, taught = nothing
    if rivalry.taught is not None:
        taught = rivalry.taught
    elif rivalry.held is not None:
        held, cost = rivalry.held, rivalry.cost
    return ContestState(held, cost, taught, rivalry.score, rivalry.weight)


def make_record(days: int, n: int, places: int) -> DayRecord:
    """Make room for a record of so many orders an agent and day."""
    wide, narrow = (np.zeros((days, n * places), kind) for kind in (np.int64, np.int8))
    decided = np.zeros((days, n), np.int64)
    return DayRecord(
        decided,
        decided.copy(),
        decided.copy(),
        np.zeros((days, n)),
        narrow,
        wide,
        wide.copy(),
        narrow.copy(),
        wide.copy(),
    )


def record_rows(
    market: Market, record: DayRecord, first_persona: int, with_moods: bool
) -> tuple[list[Rows], list[Rows]]:
    """Return the record as a tape has it: orders by arrival, decisions by agent, day by day."""
    orders: list[Rows] = []
    decisions: list[Rows] = []
    days, n = record.persona.shape
    places = record.side.shape[1] // n
    for played in range(days):
        day = market.day + played
        sent = np.flatnonzero(record.side[played])
        times = arrival_times(sent // places, day, 0, market.key)
        sent = sent[np.argsort(times, kind="stable")]
        columns = ("side", "price_ticks", "quantity", "reason", "filled")
        orders.append(
            {
                "day": np.full(len(sent), day),
                "agent": sent // places,
                **{name: getattr(record, name)[played, sent] for name in columns},
            }
        )
        decisions.append(
            {
                "day": np.full(n, day),
                "agent": np.arange(n),
                "persona": first_persona + record.persona[played],
                "view": record.seen[played],
                "tendency": record.tendency[played],
                **({"mood": record.mood[played]} if with_moods else {}),
            }
        )
    return orders, decisions

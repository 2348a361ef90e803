"""A daily auction of one crowd of personas, any number of days in one compiled call.

It plays what `market.daily_auction.simulate` plays, loop for loop; nothing runs in Python between
days, and the call holds no lock, so that markets run beside each other in threads.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Numba's cache watches this file alone: after a change to these, delete __pycache__.
from evobourse.agents.crowds.daily_loops import (
    Earshot,
    OrderHabits,
    decide,
    learn,
    price_orders,
    reconsider,
    standardise,
)
from evobourse.agents.crowds.deciding import PERFORMANCE_MEMORY
from evobourse.agents.crowds.elementary import logarithm, logarithms, normal_table
from evobourse.agents.crowds.observing import (
    WORDS_SEE,
    draw_news,
    news_threshold,
    see_morning,
)
from evobourse.agents.crowds.order_law import OrderLaw, spread_of, spread_units, tell_regime
from evobourse.agents.crowds.ordering import usual_lots
from evobourse.agents.crowds.persona_crowd import PersonaCrowd
from evobourse.agents.crowds.volatility import (
    LONG_RUN_DAYS,
    Volatility,
    follow_variance,
    kept_a_day,
    measure,
)
from evobourse.agents.observation import HISTORY_DAYS
from evobourse.market.accounts import screen_orders, settle_fills
from evobourse.market.book.auction import clear_by_counting
from evobourse.market.daily_auction import Market, PlayedDays
from evobourse.market.philox import Purpose, arrival_times, fill_words
from evobourse.market.rules import price_band

_DAY, _DAY_MORE = int(Purpose.DAY), int(Purpose.DAY_MORE)


class _Agents(NamedTuple):
    """Agents, changed in place: int64[n], int64[n, A], float64[n]; their balances, int64[n]."""

    persona: NDArray[np.int64]
    sees: NDArray[np.int64]
    usual_lots: NDArray[np.float64]
    cash_cents: NDArray[np.int64]
    shares: NDArray[np.int64]


class _Personas(NamedTuple):
    """Personas, whose success changes; see the loops that take each."""

    share: NDArray[np.float64]
    success: NDArray[np.float64]
    never: NDArray[np.bool_]
    receptivity: NDArray[np.float64]
    orders: OrderHabits
    steps: NDArray[np.int32]
    row_of: NDArray[np.int16]


class _Society(NamedTuple):
    """What agents have in common; see the loops that take each."""

    habits: tuple[float, float, float]
    hearing: tuple[float, float, float]
    rates: NDArray[np.float64]
    keep: float
    volatility_weight: float


class _Path(NamedTuple):
    """Closes int64[H + T] and their logarithms, the history filled in; volumes int64[T]."""

    close_ticks: NDArray[np.int64]
    log_path: NDArray[np.float64]
    volume: NDArray[np.int64]


class _Record(NamedTuple):
    """What agents decided and ordered, [T, n] each; [0, n] where prices alone are kept.

    A side of 0 stands for no order.
    """

    persona: NDArray[np.int64]
    seen: NDArray[np.int64]
    tendency: NDArray[np.int64]
    side: NDArray[np.int8]
    price_ticks: NDArray[np.int64]
    quantity: NDArray[np.int64]
    reason: NDArray[np.int8]
    filled: NDArray[np.int64]


def play_days(market: Market, crowd: PersonaCrowd, days: int) -> None:
    """Play days of a market and its crowd, on top of those already played.

    The same days, to the byte, as ``simulate([market], [crowd], days)``.

    Parameters
    ----------
    market, crowd
        Both go on from where they are, and are left as after the last day; what the crowd last
        saw and decided is not kept.
    days
        How many, 1 or more.
    """
    society = crowd.population.society
    observer, decider, generator = crowd.observer, crowd.decider, crowd.generator
    accounts, rules, n = market.accounts, market.rules, crowd.n_agents
    asset = market.open_day().assets[0]
    past = asset.close_ticks
    path = _Path(
        np.concatenate([past, np.zeros(days, np.int64)]),
        np.concatenate([logarithms(past[-LONG_RUN_DAYS - 1 :]), np.zeros(days)]),
        np.zeros(days, np.int64),
    )
    path = path._replace(close_ticks=path.close_ticks[-len(path.log_path) :])
    record = _record(days if market.record == "full" else 0, n)
    deviations = np.array([observer.volatility.long_run, observer.volatility.variance])
    asked = np.array([asset.buy_quantity, asset.sell_quantity])
    persona = decider.persona.copy()
    accounts.fees_cents += _play(
        market.day,
        (crowd.key, market.key),
        _Agents(
            persona, observer.sees, usual_lots(crowd.wealth), accounts.cash_cents, accounts.shares
        ),
        _Personas(
            decider.share,
            decider.success,
            observer.traits.never,
            observer.traits.receptivity,
            generator.habits,
            decider.steps,
            decider.row_of,
        ),
        _Society(
            decider.habits,
            observer.hearing,
            society.rates,
            kept_a_day(society.volatility_memory_days),
            float(society.volatility_weight),
        ),
        generator.law,
        path,
        deviations,
        asked,
        (rules.tick_cents, rules.fee_bps, rules.price_limit),
        normal_table(),
        record,
    )
    decider.persona = persona
    observer.volatility = Volatility(float(deviations[0]), float(deviations[1]))
    full = market.record == "full"
    orders, decisions = _rows(market, record, crowd.first_persona) if full else ([], [])
    bought, sold = asked.tolist()
    market.take_over(
        PlayedDays(path.close_ticks[-days:], path.volume, (bought, sold), orders, decisions)
    )


@njit(cache=True, nogil=True)
def _play(
    first_day: int,
    keys: tuple[np.uint64, np.uint64],
    agents: _Agents,
    personas: _Personas,
    society: _Society,
    law: OrderLaw,
    path: _Path,
    deviations: NDArray[np.float64],
    asked: NDArray[np.int64],
    rules: tuple[int, int, float],
    normals: NDArray[np.float32],
    record: _Record,
) -> int:
    """Play days in place, and return the fees paid."""
    crowd_key, market_key = keys
    tick_cents, fee_bps, price_limit = rules
    persona, n, days = agents.persona, agents.persona.size, path.volume.size
    history = path.close_ticks.size - days
    words, more = np.zeros((4, n), np.uint32), np.zeros((4, 0), np.uint32)
    needs_more = law.fitted or agents.sees.shape[1] > WORDS_SEE
    if needs_more:
        more = np.zeros((4, n), np.uint32)
    told, strangers = np.zeros(n), np.zeros(0)
    fees = 0
    for played in range(days):
        day, today = first_day + played, history + played
        fill_words(words, day, 0, _DAY, crowd_key)
        if needs_more:
            fill_words(more, day, 0, _DAY_MORE, crowd_key)
        reference = path.close_ticks[today - 1]
        log_path = path.log_path[max(0, today - HISTORY_DAYS) : today]

        # Morning: agents see, and some change sides.
        if deviations[1] > 0.0:
            move = log_path[-1] - log_path[-2]
            deviations[1] = follow_variance(deviations[1], move, society.keep)
        else:
            deviations[0], deviations[1] = measure(path.log_path[:today], society.keep)
        long_run, recent = deviations[0], np.sqrt(deviations[1])
        noise, _, _ = society.hearing
        threshold = news_threshold((long_run, recent), society.hearing)
        news = Earshot(draw_news(day, crowd_key), noise, threshold, told, personas.receptivity)
        views = see_morning(
            agents.sees,
            persona,
            personas.never,
            society.rates,
            log_path,
            (asked[0], asked[1]),
            strangers,
            news,
            normals,
            words,
            more,
            day,
            crowd_key,
        )
        reconsider(persona, personas.share, personas.success, society.habits, words, day, crowd_key)

        # They decide and order.
        tendency = decide(personas.steps, persona, personas.row_of, views, words)
        unit = (1 - society.volatility_weight) * long_run + society.volatility_weight * recent
        agent, side, price_ticks, quantity, _ = price_orders(
            persona,
            tendency,
            agents.usual_lots,
            personas.orders,
            spread_of(law, tell_regime(law, log_path, long_run)),
            spread_units(law, unit, long_run),
            reference,
            normals,
            words,
            more,
        )

        # The market lets orders in, clears and settles. One order an agent: none waits for another.
        lowest, highest = price_band(price_limit, reference)
        reason = screen_orders(
            agent,
            side,
            price_ticks,
            quantity,
            np.arange(agent.size),
            agents.cash_cents.copy(),
            agents.shares.copy(),
            lowest,
            highest,
            tick_cents,
            fee_bps,
        )
        let_in = np.where(reason == 0, quantity, 0)
        price, filled = clear_by_counting(
            agent, side, price_ticks, let_in, day, market_key, reference
        )
        fees += settle_fills(
            agent, side, filled, price * tick_cents, fee_bps, agents.cash_cents, agents.shares
        )
        asked[:] = 0
        for order in range(agent.size):
            asked[int(side[order] < 0)] += let_in[order]
        close = price if price > 0 else reference
        path.close_ticks[today], path.log_path[today] = close, logarithm(float(close))
        path.volume[played] = filled.sum() // 2
        move = path.log_path[today] - log_path[-1]
        scaled = standardise(move, recent)
        learn(personas.success, persona, tendency, scaled, PERFORMANCE_MEMORY)

        if record.side.shape[0]:
            record.persona[played], record.seen[played] = persona, views
            record.tendency[played] = tendency
            for order in range(agent.size):
                who = agent[order]
                record.side[played, who] = side[order]
                record.price_ticks[played, who] = price_ticks[order]
                record.quantity[played, who] = quantity[order]
                record.reason[played, who] = reason[order]
                record.filled[played, who] = filled[order]
    return fees


def _record(days: int, n: int) -> _Record:
    """Make room for a record."""
    wide, narrow = (np.zeros((days, n), kind) for kind in (np.int64, np.int8))
    return _Record(
        wide,
        wide.copy(),
        wide.copy(),
        narrow,
        wide.copy(),
        wide.copy(),
        narrow.copy(),
        wide.copy(),
    )


def _rows(
    market: Market, record: _Record, first_persona: int
) -> tuple[list[dict[str, NDArray[Any]]], list[dict[str, NDArray[Any]]]]:
    """Return the record as a tape has it: orders by arrival, decisions by agent, day by day."""
    orders, decisions = [], []
    days, n = record.side.shape
    for played in range(days):
        day = market.day + played
        sent = np.flatnonzero(record.side[played])
        sent = sent[np.argsort(arrival_times(sent, day, 0, market.key), kind="stable")]
        columns = ("side", "price_ticks", "quantity", "reason", "filled")
        orders.append(
            {
                "day": np.full(len(sent), day),
                "agent": sent,
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
            }
        )
    return orders, decisions

"""A daily auction of one crowd of personas, any number of days in one compiled call.

It plays what `market.daily_auction.simulate` plays, loop for loop; nothing runs in Python between
days, and the call holds no lock, so that markets run beside each other in threads.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Numba's cache watches this file alone: after a change to these, delete __pycache__.
from evobourse.agents.crowds.daily_loops import (
    Earshot,
    decide,
    learn,
    reconsider,
    standardise,
)
from evobourse.agents.crowds.day_state import (
    AgentState,
    ContestState,
    DayRecord,
    MechanismState,
    PathState,
    PersonaState,
    SocialState,
    SocietyState,
    contest_state,
    make_record,
    record_rows,
    social_state,
)
from evobourse.agents.crowds.deciding import PERFORMANCE_MEMORY
from evobourse.agents.crowds.elementary import logarithm, logarithms, normal_table
from evobourse.agents.crowds.mechanisms import (
    follow_equity,
    misalign,
    perceive,
    quote,
    read_together,
)
from evobourse.agents.crowds.observing import (
    WORDS_SEE,
    draw_news,
    morning_values,
    news_threshold,
    see_morning,
)
from evobourse.agents.crowds.order_law import (
    OrderLaw,
    price_orders,
    spread_of,
    spread_units,
    tell_regime,
)
from evobourse.agents.crowds.ordering import usual_lots
from evobourse.agents.crowds.persona_crowd import LOTS_PER_WORTH, PersonaCrowd
from evobourse.agents.crowds.volatility import (
    LONG_RUN_DAYS,
    Volatility,
    follow_variance,
    kept_a_day,
    measure,
)
from evobourse.agents.observation import FIELD_NAMES, HISTORY_DAYS
from evobourse.agents.society.contest import count_faith, count_profits
from evobourse.agents.society.feeds import average_tones
from evobourse.agents.society.life import follow_day, live_morning
from evobourse.agents.society.links import fade_and_add, keys_of
from evobourse.market.accounts import judge_orders, settle_fills
from evobourse.market.book.auction import clear_by_counting
from evobourse.market.daily_auction import Market, PlayedDays
from evobourse.market.philox import Purpose, fill_words
from evobourse.market.rules import price_band

_VALUE = FIELD_NAMES.index("value")
_DAY, _DAY_MORE = Purpose.DAY, Purpose.DAY_MORE


def play_days(market: Market, crowd: PersonaCrowd, days: int) -> None:
    """Play days of a market and its crowd, on top of those already played.

    The same days, to the byte, as ``simulate([market], [crowd], days)`` with what a contest moves
    paid at each close.

    Parameters
    ----------
    market, crowd
        Both go on from where they are, and are left as after the last day; what the crowd last
        saw and decided is not kept.
    days
        How many, 1 or more.
    """
    rivalry = crowd.rivalry
    if rivalry is None:
        _play_run(market, crowd, days)
        return
    last = market.day + days
    while market.day < last:  # ranked in Python, every so many days
        until = market.day
        while until < last - 1 and not rivalry.due(until):
            until += 1
        if rivalry.taught is None and rivalry.held is None:
            until = market.day  # what they begin with cost the first close
        _play_run(market, crowd, until + 1 - market.day)
        accounts, close = market.accounts, market.last_close_ticks
        equity = accounts.cash_cents + accounts.shares * close
        if rivalry.taught is None and rivalry.held is None:
            rivalry.end_first_day(equity, accounts.shares, close)
        if rivalry.due(until):
            crowd.settle_contest(until, accounts.cash_cents, equity)
            accounts.cash_cents += crowd.take_transfers()


def _play_run(market: Market, crowd: PersonaCrowd, days: int) -> None:
    """Play days without a ranking, except at the last close."""
    society, life = crowd.population.society, crowd.life
    observer, decider, generator = crowd.observer, crowd.decider, crowd.generator
    accounts, rules, n = market.accounts, market.rules, crowd.n_agents
    asset = market.open_day().assets[0]
    past = asset.close_ticks[-LONG_RUN_DAYS - 1 :]
    path = PathState(
        np.concatenate([past, np.zeros(days, np.int64)]),
        np.concatenate([logarithms(past), np.zeros(days)]),
        np.zeros(days, np.int64),
    )
    kept = days if market.record == "full" else 0
    record = make_record(kept, n, 2 if generator.both.size else 1)
    volatility, mechanisms = observer.volatility, society.mechanisms
    measured = np.array([volatility.long_run, volatility.variance, observer.perceived])
    asked = np.array([asset.buy_quantity, asset.sell_quantity])
    persona, social = decider.persona.copy(), social_state(life)
    accounts.fees_cents += _play(
        market.day,
        (crowd.key, market.key),
        AgentState(
            persona, observer.sees, usual_lots(crowd.wealth), accounts.cash_cents, accounts.shares
        ),
        PersonaState(
            decider.share,
            decider.success,
            observer.traits.never,
            observer.traits.receptivity,
            generator.habits,
            decider.steps,
            decider.row_of,
        ),
        SocietyState(
            decider.habits,
            observer.hearing,
            society.rates,
            kept_a_day(society.volatility_memory_days),
            float(society.volatility_weight),
        ),
        MechanismState(
            generator.both,
            float(mechanisms.half_spread),
            observer.shared,
            float(mechanisms.misalignment),
            decider.lean,
            observer.value_rates,
            float(mechanisms.equity_sized),
            float(mechanisms.loss_asymmetry),
        ),
        social,
        contest_state(crowd.rivalry),
        generator.law,
        path,
        measured,
        asked,
        (rules.tick_cents, rules.fee_bps, rules.price_limit),
        normal_table(),
        record,
    )
    decider.persona = persona
    observer.volatility = Volatility(float(measured[0]), float(measured[1]))
    observer.perceived = float(measured[2])
    if life is not None:
        life.mood, life.peers = social.mood, social.peers
    orders, decisions = record_rows(market, record, crowd.first_persona, life is not None)
    bought, sold = asked.tolist()
    market.take_over(
        PlayedDays(path.close_ticks[-days:], path.volume, (bought, sold), orders, decisions)
    )


@njit(cache=True, nogil=True)
def _play(
    first_day: int,
    keys: tuple[np.uint64, np.uint64],
    agents: AgentState,
    personas: PersonaState,
    society: SocietyState,
    mechanisms: MechanismState,
    social: SocialState,
    contest: ContestState,
    law: OrderLaw,
    path: PathState,
    measured: NDArray[np.float64],
    asked: NDArray[np.int64],
    rules: tuple[int, int, float],
    normals: NDArray[np.float32],
    record: DayRecord,
) -> int:
    """Play days in place, and return the fees paid."""
    crowd_key, market_key = keys
    tick_cents, fee_bps, price_limit = rules
    persona, n, days = agents.persona, agents.persona.size, path.volume.size
    places = record.side.shape[1] // n  # of an agent's orders in the record
    history = path.close_ticks.size - days
    words, more = np.zeros((4, n), np.uint32), np.zeros((4, 0), np.uint32)
    needs_more = law.fitted or agents.sees.shape[1] > WORDS_SEE
    if needs_more:
        more = np.zeros((4, n), np.uint32)
    told, moods = np.zeros(n), np.zeros(0)
    friends, fees = social.mood.size > 0, 0
    for played in range(days):
        day, today = first_day + played, history + played
        fill_words(words, day, 0, _DAY, crowd_key)
        if needs_more:
            fill_words(more, day, 0, _DAY_MORE, crowd_key)
        reference = path.close_ticks[today - 1]
        log_path = path.log_path[max(0, today - HISTORY_DAYS) : today]

        # Morning: agents read each other, see the market, and some change sides.
        if friends:
            author, weight, _, _ = live_morning(
                social.spots,
                social.pairs,
                social.numbers,
                (social.profiles, social.mood, social.voice, social.likes),
                day,
                social.key,
            )
            moods = average_tones(author, weight, social.mood)
            social.peers[:] = moods
        move = log_path[-1] - log_path[-2]
        if measured[1] > 0.0:
            measured[1] = follow_variance(
                measured[1], move, society.keep, mechanisms.loss_asymmetry
            )
        else:
            measured[0], measured[1] = measure(
                path.log_path[:today], society.keep, mechanisms.loss_asymmetry
            )
        long_run, recent = measured[0], np.sqrt(measured[1])
        tone = draw_news(day, crowd_key)
        if mechanisms.value_rates[0] > 0.0:
            measured[2] = perceive(
                measured[2], tone, told, long_run, log_path[-1], mechanisms.value_rates
            )
        values = morning_values(log_path, (asked[0], asked[1]), measured[2])
        noise, _, _ = society.hearing
        threshold = news_threshold((long_run, recent), society.hearing)
        heard = read_together(tone, mechanisms.shared, day, crowd_key)
        news = Earshot(heard, noise, threshold, told, personas.receptivity)
        views = see_morning(
            agents.sees,
            persona,
            personas.never,
            society.rates,
            values,
            moods,
            news,
            normals,
            words,
            more,
            day,
            crowd_key,
        )
        pull = misalign(mechanisms.misalignment, mechanisms.lean, values[_VALUE])
        reconsider(
            persona, personas.share, personas.success, pull, society.habits, words, day, crowd_key
        )

        # They decide and order.
        tendency = decide(personas.steps, persona, personas.row_of, views, words)
        unit = (1 - society.volatility_weight) * long_run + society.volatility_weight * recent
        lots_today = agents.usual_lots
        if mechanisms.equity_sized > 0.0:
            lots_today = follow_equity(
                agents.usual_lots,
                mechanisms.equity_sized,
                LOTS_PER_WORTH,
                agents.cash_cents,
                agents.shares,
                reference,
            )
        sender, side, price_ticks, quantity, urgency, reservation = price_orders(
            persona,
            tendency,
            lots_today,
            personas.orders,
            spread_of(law, tell_regime(law, log_path, long_run)),
            spread_units(law, unit, long_run),
            reference,
            normals,
            words,
            more,
        )

        agent = sender
        if mechanisms.both.size:
            agent, side, price_ticks, quantity = quote(
                (sender, side, price_ticks, quantity),
                urgency,
                reservation,
                mechanisms.both,
                mechanisms.half_spread,
                unit,
                reference,
            )

        # The market lets orders in, clears and settles. None waits for another: of an agent's two
        # one reserves cash and the other shares.
        lowest, highest = price_band(price_limit, reference)
        reason, let_in, asked[0], asked[1] = judge_orders(
            agent,
            side,
            price_ticks,
            quantity,
            agents.cash_cents,
            agents.shares,
            (lowest, highest, tick_cents, fee_bps),
        )
        price, filled = clear_by_counting(
            agent, side, price_ticks, let_in, day, market_key, reference
        )
        fees += settle_fills(
            agent, side, filled, price * tick_cents, fee_bps, agents.cash_cents, agents.shares
        )
        close = price if price > 0 else reference
        path.close_ticks[today], path.log_path[today] = close, logarithm(float(close))
        path.volume[played] = filled.sum() // 2
        move = path.log_path[today] - log_path[-1]
        scaled = standardise(move, recent)
        learn(personas.success, persona, tendency, scaled, PERFORMANCE_MEMORY)

        # Evening: what was done makes links, moods and, in a contest, scores.
        if record.side.shape[0] and friends:
            record.mood[played] = social.mood
        if friends:
            follow_day(social.mood, social.peers, tendency, social.contagion, social.numbers[4])
            bought = np.zeros(n, np.int64)  # of one agent's two orders one is filled at most
            for order in range(agent.size):
                bought[agent[order]] += side[order] * filled[order]
            lots, intensity = bought[sender], np.empty(sender.size)
            for k in range(sender.size):
                intensity[k] = abs(lots[k]) / max(agents.usual_lots[sender[k]], 1.0)
            fade_and_add(
                social.profiles, social.numbers[4], sender, keys_of(lots, urgency), intensity
            )
        if contest.held.size:
            count_profits(
                contest.held, contest.cost, agents.shares, float(close), persona, contest.score
            )
        if contest.taught.size:
            count_faith(contest.taught, persona, views, tendency, contest.score, contest.weight)
        if record.side.shape[0]:
            record.persona[played], record.seen[played] = persona, views
            record.tendency[played] = tendency
            for order in range(agent.size):
                again = order > 0 and agent[order] == agent[order - 1]
                at = agent[order] * places + again
                record.side[played, at] = side[order]
                record.price_ticks[played, at] = price_ticks[order]
                record.quantity[played, at] = quantity[order]
                record.reason[played, at] = reason[order]
                record.filled[played, at] = filled[order]
    return fees

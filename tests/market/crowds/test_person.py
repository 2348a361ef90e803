import queue
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evobourse.market.book.order_events import Kind, TimeInForce
from evobourse.market.crowds.noise_trader import NoiseFlow, NoiseTraders
from evobourse.market.crowds.person import PersonCrowd, parse_order
from evobourse.market.errors import MarketError

ASSETS = ("Steel", "Pulp and paper")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("buy 5 @ 1000", {"side": 1, "quantity": 5, "price_ticks": 1000}),
        ("  SELL  5@990 ", {"side": -1, "quantity": 5, "price_ticks": 990}),
        ("sell 3 market", {"side": -1, "quantity": 3, "kind": Kind.MARKET}),
        (
            "buy 1 @ 2 gtc post",
            {"time_in_force": TimeInForce.GOOD_TILL_CANCELLED, "post_only": True},
        ),
        (
            "buy 1 @ 2 fok of pulp and paper",
            {"time_in_force": TimeInForce.FILL_OR_KILL, "asset": 1},
        ),
        ("cancel 17", {"kind": Kind.CANCEL, "target": 17, "quantity": 0}),
        (
            "replace 17 4 @ 9 ioc",
            {"kind": Kind.REPLACE, "target": 17, "quantity": 4, "price_ticks": 9},
        ),
    ],
)
def test_orders_are_read_as_meant(line, expected):
    parsed = parse_order(line, ASSETS)
    assert {name: parsed[name] for name in expected} == expected


@pytest.mark.parametrize(
    "line",
    [
        "",
        "buy",
        "buy five @ 10",
        "buy 5 @ 10.5",
        "buy -5 @ 10",
        "buy 5 @ 10 please",
        "buy 5 10",
        "sell 3 market gtc",
        "cancel",
        "cancel 1 2",
        "buy 5 @ 10 of",
        "buy 5 @ 10 of gold",
        "buy 5 @ 10 gtc ioc",
        "buy 5 @ 10 post post",
        "buy 5 @ 10; sell 5 @ 11",
        "buy 9999999999999 @ 10",
        "buy \u0665 @ 10",
    ],
)
def test_anything_else_is_refused_in_words(line):
    with pytest.raises(MarketError, match=r"expected one of|more than once|no asset"):
        parse_order(line, ASSETS)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=40))
def test_no_line_does_worse_than_being_refused(line):
    try:
        parsed = parse_order(line, ASSETS)
    except MarketError:
        return
    assert parsed["kind"] <= Kind.CANCEL


def seat(lines, told):
    lines = iter(lines)

    def ask(prompt):
        told.append(prompt)
        try:
            return next(lines)
        except StopIteration:
            raise EOFError from None

    return PersonCrowd(ask, told.append, ["asset"])


def test_a_person_trades_makes_mistakes_and_leaves(open_exchange):
    told = []
    person = seat(
        [
            "buy 7 @ 950 gtc",
            "bye 7",
            "done",  # turn 0
            "cancel 999",
            "sell 4 @ 1100 gtc post",
            "",  # turn 1
            "buy 3 market",
            "done",  # turn 2; then the input ends
        ],
        told,
    )
    flow = NoiseFlow(limit_orders=60.0, market_orders=10.0)
    exchange = open_exchange([person, NoiseTraders(flow, 20, np.random.default_rng(1))])
    exchange.run(2)
    resting = exchange.listings[0].book.resting.of_agents(0, 1)
    assert sorted(zip(resting.side.tolist(), resting.price_ticks.tolist(), strict=True)) == [
        (-1, 1100),
        (1, 950),
    ]
    assert exchange.ledger.position[0, 0] == 10**5 + 3
    said = "\n".join(told)
    assert "cannot read 'bye 7'" in said
    assert "no order 999 of yours rests in asset" in said
    assert "market" in said
    assert "3 of 3 lots" in said
    assert "buy 7 @ 950" in said
    assert "day 0 over: asset closed at" in said
    assert said.count("> ") <= 9  # after the end of the input nobody is asked


def test_a_replacement_moves_the_persons_own_order(open_exchange):
    told = []
    person = seat(["buy 7 @ 950 gtc", "done", "replace 1 9 @ 960 gtc", "done"], told)
    exchange = open_exchange([person])
    exchange.play_day()
    resting = exchange.listings[0].book.resting
    assert (resting.price_ticks.tolist(), resting.remaining.tolist()) == ([960], [9])


def test_a_person_at_a_queue_holds_the_market_up_until_he_answers(open_exchange):
    typed = queue.Queue()
    person = PersonCrowd(lambda prompt: typed.get(timeout=20), lambda line: None, ["asset"])
    exchange = open_exchange([person], ("call",))
    playing = threading.Thread(target=exchange.play_day)
    playing.start()
    playing.join(0.2)
    assert playing.is_alive()
    typed.put("buy 7 @ 950")
    typed.put("done")
    playing.join(20)
    assert not playing.is_alive()
    assert exchange.day == 1

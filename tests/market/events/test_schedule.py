"""Schedules: YAML there and back, one clear line for each mistake, events added later."""

import copy
import json
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evobourse.market.crowd import Crowd, Orders
from evobourse.market.crowds.noise_trader import NoiseFlow, NoiseTraders
from evobourse.market.crowds.person import RecordedPerson
from evobourse.market.errors import MarketError
from evobourse.market.events.kinds import (
    KINDS,
    ChangeTerms,
    Halt,
    News,
    Order,
    Rumour,
    SettleAt,
    Windfall,
)
from evobourse.market.events.schedule import EventSchedule, load_schedule
from evobourse.market.events.values import Agents
from evobourse.market.exchange import Exchange
from evobourse.market.instruments import Instrument
from evobourse.market.session import SessionRules

DOCS = Path(__file__).parents[3] / "docs" / "events.md"


class Silent(Crowd):
    def __init__(self, n_agents):
        self.n_agents = n_agents

    def observe(self, view):
        self.heard = [message.text for message in view.messages]

    def orders(self):
        return Orders.empty()


def make(schedule, turns=("call", "call")):
    return Exchange(
        [Instrument("nickel", "future", 100, 6), Instrument("stock")],
        [np.array([48_000]), np.array([1000])],
        [Silent(10), Silent(6), RecordedPerson(["nickel", "stock"])],
        np.full(17, 10**8),
        np.column_stack([np.zeros(17, int), np.full(17, 20)]),
        np.random.default_rng(0),
        SessionRules(turns),
        schedule,
    )


def documented(folder):
    (text,) = re.findall(r"```yaml\n(.*?)```", DOCS.read_text(), re.DOTALL)
    path = folder / "shock.yaml"
    path.write_text(text)
    return path


def test_the_documented_file_has_every_kind_and_runs(tmp_path):
    schedule = load_schedule(documented(tmp_path), np.random.default_rng(7))
    assert {type(event) for event in schedule.events} == set(KINDS.values())
    exchange = make(schedule)
    exchange.run(10)
    assert len(schedule.applied) == len(schedule.events)
    assert exchange.ledger.position[10:, 1].tolist().count(10) == 3
    assert exchange.ledger.pools.granted_cents == -(3 * 5_000_000 + 17 * 100)
    assert exchange.listings[0].instrument.price_limit == 0.05
    assert exchange.listings[1].instrument.short_sales == "uptick"


def test_the_documented_additions_are_taken():
    *_, code = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    schedule = EventSchedule()
    exchange = make(schedule)
    exchange.play_day()
    exec(code, {"schedule": schedule, "exchange": exchange})
    exchange.run(2)
    assert [item.kind for item in schedule.applied] == ["halt", "rumour"]


def test_printed_it_is_the_same_file(tmp_path):
    schedule = load_schedule(documented(tmp_path), np.random.default_rng(7))
    printed = tmp_path / "printed.yaml"
    printed.write_text(schedule.to_yaml())
    again = load_schedule(printed)
    assert again.events == schedule.events
    assert again.to_yaml() == printed.read_text()


TEXT = st.text(max_size=30)


@settings(max_examples=100, deadline=None)
@given(
    texts=st.lists(TEXT, min_size=1, max_size=4),
    name=TEXT,
    is_true=st.booleans(),
    share=st.floats(0, 1, exclude_min=True),
    factor=st.floats(1e-6, 1e6),
    rows=st.lists(st.integers(0, 2**31), min_size=1, max_size=3),
    cash=st.integers(1, 10**12),
)
def test_any_text_and_number_survives_the_file(
    tmp_path_factory, texts, name, is_true, share, factor, rows, cash
):
    events = [
        *(News(day=row, text=text) for row, text in enumerate(texts)),
        Rumour(day=3, agents=Agents(share=share), text=name, is_true=is_true),
        Windfall(day=1, turn=2, agents=Agents(rows=tuple(rows)), cash_cents=-cash),
        Windfall(day=1, agents=Agents(), asset=name, quantity=-3),
        SettleAt(day=1, asset=name, factor=factor),
        ChangeTerms(day=0, asset=name, sell_next_day=is_true, fee_bps=0, price_limit=0.25),
    ]
    path = tmp_path_factory.mktemp("schedule") / "events.yaml"
    path.write_text(EventSchedule(events, np.random.default_rng()).to_yaml())
    assert list(load_schedule(path).events) == events


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("events: {}", "expected the key events alone, a list"),
        ("event: []", "expected the key events alone, a list"),
        ("events: [", "no valid YAML"),
        ("events: [halt]", r"events\[0\] is 'halt', expected a mapping with kind: news,"),
        ("events: [{day: 1}]", r"events\[0\] .* expected a mapping with kind"),
        (
            "events: [{kind: news, day: 0, text: x}, {kind: hault, day: 1, asset: a}]",
            r"events\[1\]: unknown kind 'hault'; did you mean 'halt'\?",
        ),
        (
            "events: [{kind: settle_at, day: 1, asset: a, price_tick: 4}]",
            r"events\[0\]: settle_at has no key 'price_tick'; did you mean 'price_ticks'\?",
        ),
        (
            "events: [{kind: rumour, day: 1, text: a, agents: {shares: 0.1}}]",
            r"events\[0\]: agents has no key 'shares'; did you mean 'share'\?",
        ),
        ("events: [{kind: halt, asset: a}]", r"events\[0\]: halt lacks day"),
        ("events: [{kind: cancel_trades, day: 1, asset: a, turn: 1}]", "no key 'turn'"),
        (
            "events: [{kind: halt, day: monday, asset: a}]",
            r"events\[0\]: halt.day is 'monday', expected a whole number",
        ),
        ("events: [{kind: halt, day: true, asset: a}]", "halt.day is True, expected a whole"),
        ("events: [{kind: halt, day: -1, asset: a}]", "halt.day is -1, expected 0 to"),
        ("events: [{kind: halt, day: 1, asset: 3}]", "halt.asset is 3, expected a text"),
        ("events: [{kind: change_terms, day: 1, asset: a}]", "changes nothing"),
        (
            "events: [{kind: change_terms, day: 1, asset: a, price_limit: 5 %}]",
            "change_terms.price_limit is '5 %', expected a number or nothing",
        ),
        (
            "events: [{kind: settle_at, day: 1, asset: a, price_ticks: 4, factor: 2}]",
            "expected one of the two",
        ),
        ("events: [{kind: settle_at, day: 1, asset: a}]", "expected one of the two"),
        ("events: [{kind: settle_at, day: 1, asset: a, price_ticks: 0}]", "is 0, expected 1 to"),
        ("events: [{kind: windfall, day: 1, agents: all}]", "windfall of nothing"),
        ("events: [{kind: windfall, day: 1, agents: all, quantity: 3}]", "both or neither"),
        ("events: [{kind: windfall, day: 1, agents: some, cash_cents: 3}]", "agents.rows is"),
        ("events: [{kind: windfall, day: 1, agents: [-1], cash_cents: 3}]", "agents.rows is"),
        (
            "events: [{kind: windfall, day: 1, agents: {share: 0}, cash_cents: 3}]",
            "share is 0.0, expected over 0",
        ),
        (
            "events: [{kind: windfall, day: 1, agents: {rows: [1], crowd: 1}, cash_cents: 3}]",
            "rows stands alone",
        ),
    ],
)
def test_a_bad_file_is_refused_in_one_line(tmp_path, text, said):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(MarketError, match=f"{re.escape(str(path))}.*{said}") as error:
        load_schedule(path)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(MarketError, match=r"none\.yaml: cannot be read"):
        load_schedule(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (Halt(day=9, asset="nikel"), "no asset 'nikel', expected one of .*'nickel', 'stock'"),
        (Halt(day=9, turn=2, asset="nickel"), "the exchange's turns are 0 to 1"),
        (ChangeTerms(day=9, asset="stock", price_limit=1.5), "price_limit is 1.5, expected 0 to 1"),
        (ChangeTerms(day=9, asset="stock", short_sales="never"), "short_sales is 'never'"),
        (ChangeTerms(day=9, asset="stock", maintenance_margin_bps=1600), "at most the initial"),
        (Windfall(day=9, agents=Agents(rows=(17,)), cash_cents=1), "rows has 17, expected 0 to 16"),
        (Windfall(day=9, agents=Agents(crowd=3), cash_cents=1), "crowd is 3, expected 0 to 2"),
        (Windfall(day=9, agents=Agents(), asset="nickel", quantity=1), "'nickel' is a future"),
        (Rumour(day=9, agents=Agents(share=0.5), text="x"), "hand the schedule a Generator"),
    ],
)
def test_what_does_not_fit_the_exchange_is_refused_at_its_first_turn(event, said):
    schedule = EventSchedule([News(day=0, text="x"), event], source="shock.yaml")
    with pytest.raises(MarketError, match=rf"^shock\.yaml: events\[1\] \(\w+, day 9.*{said}"):
        make(schedule).play_day()
    running = EventSchedule()
    exchange = make(running)
    exchange.play_day()
    with pytest.raises(MarketError, match=said):
        running.add(event)
    assert running.events == ()
    exchange.run(10)


def test_terms_are_checked_in_the_order_of_their_days():
    rise = ChangeTerms(day=2, asset="nickel", initial_margin_bps=3_000)
    more = ChangeTerms(day=3, asset="nickel", maintenance_margin_bps=2_500)
    make(EventSchedule([more, rise])).run(4)
    early = ChangeTerms(day=1, asset="nickel", maintenance_margin_bps=2_500)
    with pytest.raises(MarketError, match=r"events\[1\].*at most the initial margin"):
        make(EventSchedule([rise, early])).run(4)


def test_events_are_added_to_a_running_market_until_their_moment_is_past():
    schedule = EventSchedule(rng=np.random.default_rng(1))
    exchange = make(schedule)
    exchange.run(2)
    schedule.add(News(day=2, text="now"))
    schedule.add(SettleAt(day=2, asset="nickel", factor=0.5))
    with pytest.raises(MarketError, match=r"events\[2\] \(news, day 1, turn 1\).*is past"):
        schedule.add(News(day=1, turn=1, text="late"))
    exchange.play_day()
    assert [item[:4] for item in schedule.applied] == [
        (2, 0, "news", ""),
        (2, 1, "settle_at", "nickel"),
    ]
    assert exchange.ledger.mark_ticks[0] == 24_000


def test_a_crowd_can_add_for_a_later_turn_of_the_same_day():
    schedule = EventSchedule()
    exchange = make(schedule)

    class Author(Silent):
        def observe(self, view):
            super().observe(view)
            if view.turn == 0:
                schedule.add(News(day=view.day, turn=1, text="said"))
                with pytest.raises(MarketError, match="is past"):
                    schedule.add(News(day=view.day, turn=0, text="too late"))

    exchange.floor.crowds[1] = Author(6)
    exchange.play_day()
    assert exchange.floor.crowds[0].heard == ["said"]


def test_a_schedule_serves_one_exchange_from_its_beginning():
    schedule = EventSchedule([News(day=0, text="x")])
    make(schedule).play_day()
    with pytest.raises(MarketError, match="runs at another exchange"):
        make(schedule).play_day()
    exchange = make(None)
    exchange.run(3)
    exchange.schedule = EventSchedule([News(day=2, text="x")])
    with pytest.raises(MarketError, match="has played 3 days"):
        exchange.play_day()


def test_an_event_to_come_can_be_taken_out():
    news = [News(day=day, text=text) for day, text in ((0, "a"), (2, "b"), (2, "c"), (2, "b"))]
    schedule = EventSchedule(news)
    exchange = make(schedule)
    exchange.run(1)
    for event in (news[1], Halt(day=2, turn=1, asset="stock")):
        if event not in schedule.events:
            schedule.add(event)
        schedule.remove(event)
    exchange.run(2)
    texts = [json.loads(item.detail)["text"] for item in schedule.applied]
    assert texts == ["a", "b", "c"]  # of two alike the later one went
    for event in (news[0], news[2], News(day=9, text="never said")):
        with pytest.raises(MarketError, match="no news is to come on day"):
            schedule.remove(event)


def test_a_copied_market_goes_on_as_the_first():
    flow = NoiseFlow(20.0, 5.0, mean_lots=3.0)
    exchange = make(EventSchedule([News(day=3, text="x")]), ("call", "continuous"))
    exchange.floor.crowds[1] = NoiseTraders(flow, 6, np.random.default_rng(1), asset=1)
    exchange.run(2)
    again = copy.deepcopy(exchange)
    for one in (exchange, again):
        one.run(3)
    np.testing.assert_array_equal(exchange.ledger.cash_cents, again.ledger.cash_cents)
    first, second = (one.listings[1].view(None, 0, 1) for one in (exchange, again))
    np.testing.assert_array_equal(first.close_ticks, second.close_ticks)
    assert len(set(first.close_ticks.tolist())) > 1
    assert again.schedule.applied == exchange.schedule.applied


def test_turns_one_by_one_are_a_day():
    days, turns = (make(EventSchedule(), ("call", "continuous", "call")) for _ in range(2))
    days.run(2)
    outcomes = [(turns.play_turn(), turns.day, turns.turn) for _ in range(5)]
    assert [outcome is None for outcome, _, _ in outcomes] == [True, True, False, True, True]
    assert [(day, turn) for _, day, turn in outcomes] == [(0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
    assert turns.play_day().day == 1  # what is left of it
    assert turns.day == days.day == 2


def test_an_order_needs_a_person_and_the_grammar():
    exchange = make(EventSchedule([Order(day=0, line="buy 5 @ 1000 gtc of stock")]))
    exchange.play_day()
    assert exchange.listings[1].book.resting.remaining.tolist() == [5]
    assert exchange.listings[1].book.resting.agent.tolist() == [16]
    with pytest.raises(MarketError, match="cannot read 'buy'"):
        exchange.schedule.add(Order(day=1, line="buy"))
    exchange.floor.crowds[2] = Silent(1)
    with pytest.raises(MarketError, match="no person trades here"):
        exchange.schedule.add(Order(day=1, line="buy 5 market"))


def test_a_saved_market_goes_on_with_its_schedule():
    schedule = EventSchedule([Halt(day=0, asset="stock"), News(day=1, text="x")])
    exchange = make(schedule)
    exchange.play_day()
    again = pickle.loads(pickle.dumps(exchange))
    again.play_day()
    assert [item.kind for item in again.schedule.applied] == ["halt", "news"]

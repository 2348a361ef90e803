"""The nickel days of March 2022, at full size: what the schedule says is what happens."""

import numpy as np
import pandas as pd
import pytest

from evobourse.experiments.studies.nickel.rules import (
    SCHEDULE,
    Cast,
    build,
    parity_usd,
    play,
    read_real,
)
from evobourse.market.book.order_events import Kind, Reason, Status
from evobourse.market.events.kinds import Windfall
from evobourse.market.events.schedule import EventSchedule, load_schedule
from evobourse.market.rules import price_band

LME_CASH = {
    1: 25_450, 2: 27_000, 3: 28_800, 4: 29_800, 7: 42_995, 22: 30_800, 25: 35_550,
    28: 34_050, 29: 33_100, 30: 32_750, 31: 33_400,
}  # fmt: skip
"""LME, "LME Nickel MASP calculation for March 2022": official prices not disrupted."""

SUSPENDED = ["2022-03-09", "2022-03-10", "2022-03-11", "2022-03-14", "2022-03-15"]
LOCKED = {"2022-03-17": 0.08, "2022-03-18": 0.12, "2022-03-21": 0.15}
CENTS = 100


@pytest.fixture(scope="module")
def table():
    return play(1)


def without_credit():
    events = load_schedule(SCHEDULE).events
    return EventSchedule([event for event in events if not isinstance(event, Windfall)])


def test_the_data_have_the_published_settlements():
    cash = read_real()["lme_cash_settlement"].dropna().loc["2022-03-01":]
    assert {date.day: price for date, price in cash.items()} == LME_CASH


def test_the_cancelled_day_leaves_the_evening_before():
    exchange, record = build(read_real(), load_schedule(SCHEDULE))
    exchange.run(5)
    ledger = exchange.ledger
    before = ledger.cash_cents.copy(), ledger.position.copy(), vars(ledger.pools).copy()
    outcome = exchange.play_day()
    assert record.days[-1]["annulled"] > 1000
    np.testing.assert_array_equal(ledger.cash_cents, before[0])
    np.testing.assert_array_equal(ledger.position, before[1])
    assert vars(ledger.pools) == before[2]
    assert outcome.volume[0] == 0
    assert outcome.settle_ticks[0] == outcome.close_ticks[0] == 48_078


def test_while_suspended_every_order_is_turned_away_and_the_queue_stands():
    exchange, record = build(read_real(), load_schedule(SCHEDULE))
    exchange.run(6)
    tried = 0
    for day in range(6, 11):
        if day <= 8:
            queued = exchange.ledger.queued.copy()
            assert np.abs(queued).sum() > 10_000
        exchange.play_day()
        batches = exchange.listings[0].batches
        assert sum(len(batch.fills) for batch in batches) == 0
        for batch in batches:
            orders = batch.events.kind <= Kind.REPLACE
            assert (batch.status[orders] == Status.REJECTED).all()
            assert set(batch.reason[orders]) <= {Reason.HALTED, Reason.MARGIN_CALL}
            tried += (batch.reason == Reason.HALTED).sum()
        assert record.days[-1]["liquidated"] == 0
        if day <= 8:
            np.testing.assert_array_equal(exchange.ledger.queued, queued)
    assert tried > 300
    assert not exchange.ledger.queued[0].any()  # the credit of 14 March has ended the call


def test_after_the_restart_the_price_locks_at_the_real_limits(table):
    for date, limit in LOCKED.items():
        day, before = table.loc[date], table.settle.shift()[date]
        assert (day.lower, day.upper) == price_band(limit, int(before))
        assert day.close == day.lower
        assert day.offers_left > 5 * day.volume
        assert day.bids_left == 0
    restart = table.loc["2022-03-16"]
    assert (restart.lower, restart.upper) == (45_675, 50_481)  # LME: 45,674 to 50,482
    assert restart.halted
    assert restart.settle == 45_590


def test_the_squeeze_is_the_large_shorts_margin_call(table):
    calm = Cast(large_short_cash=20_000.0)
    exchange, record = build(read_real(), load_schedule(SCHEDULE), cast=calm)
    exchange.run(5)
    assert table.called["2022-03-04"] == 1
    assert table.liquidated["2022-03-07"] > 5_000
    assert table.traded["2022-03-07"] > 1.5 * table.settle["2022-03-04"]
    shanghai = parity_usd(read_real())["2022-03-07"]
    assert record.days[4]["liquidated"] == 0
    assert record.days[4]["traded"] == pytest.approx(shanghai, rel=0.1)


def test_without_the_credit_the_short_is_bought_in_when_trading_resumes():
    exchange, record = build(read_real(), without_credit())
    ledger = exchange.ledger
    total = ledger.cash_cents.sum()
    for _ in range(23):
        exchange.play_day()
        assert ledger.cash_cents.sum() + ledger.pools.total_cents == total
        assert ledger.position.sum() == 0
    days = pd.DataFrame(record.days, index=read_real().loc["2022-03-01":].index)
    stood = days.loc["2022-03-08":"2022-03-15"]
    assert stood.queued.nunique() == 1
    assert (stood.liquidated[1:] == 0).all()
    assert days.liquidated["2022-03-16":"2022-03-21"].sum() >= stood.queued.iloc[0]
    assert ledger.position[0, 0] == 0
    assert ledger.cash_cents[0] == 0
    assert ledger.pools.bankruptcy_cents < -1e9 * CENTS


def test_seeds_decide_everything(table):
    pd.testing.assert_frame_equal(play(1), table)
    assert (play(2).settle != table.settle).any()


def test_the_schedule_is_printed_as_it_is_read(tmp_path):
    printed = tmp_path / "printed.yaml"
    printed.write_text(load_schedule(SCHEDULE).to_yaml())
    assert load_schedule(printed).events == load_schedule(SCHEDULE).events

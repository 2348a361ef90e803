"""A recorded run: its tables agree with the accounts, and its log makes the same prices again."""

import numpy as np
import pandas as pd
import pytest
from joblib import Parallel, delayed

from evobourse.market.book.book import MAX_TICKS, BookRules, OrderBook
from evobourse.market.book.order_events import Reason, SelfTrade, Status
from evobourse.market.tape.journal import TapeJournal, describe_instruments
from evobourse.market.tape.recorded import read_tape
from evobourse.market.tape.recorder import MemoryRecorder, Recorder
from evobourse.market.tape.replay import BOUNDS, replay_day, replay_log
from tests.market.anything import INSTRUMENTS, TURNS, make_anything

FILLS = ["day", "turn", "event", "buy", "sell", "price_ticks", "quantity", "aggressor"]
DAYS = 25


def recorded(turns, seed=3, rate=0.4):
    exchange, _ = make_anything(seed, turns, rate)
    sink = MemoryRecorder(describe_instruments(exchange))
    exchange.keep(TapeJournal(sink, depth_every=1))
    exchange.run(DAYS)
    return exchange, sink.tape()


@pytest.mark.parametrize("turns", TURNS)
def test_the_log_makes_the_same_trades_prices_and_book_again(turns):
    exchange, tape = recorded(turns)
    fills = tape.frame("fills")
    assert len(fills) > 50
    for asset, listing in enumerate(exchange.listings):
        replay = replay_log(tape, asset)
        own = fills[fills["asset"] == asset].reset_index(drop=True)
        columns = [*FILLS, "buyer", "seller"]
        pd.testing.assert_frame_equal(replay.fills[columns], own[columns], check_dtype=False)
        rests, resting = listing.book.resting, replay.book.resting
        for name in ("number", "agent", "side", "price_ticks", "remaining"):
            np.testing.assert_array_equal(getattr(resting, name), getattr(rests, name))


def test_agents_who_are_absent_trade_with_nobody_and_the_others_go_on():
    _, tape = recorded(("call", "continuous", "call"))
    orders, fills = tape.frame("orders"), tape.frame("fills")
    terms = tape.manifest.instruments[0]
    today = orders.query("asset == 0 and day == 0")
    prices = tape.frame("prices").query("asset == 0 and day == 0")
    reference, lowest, highest = (int(prices[name].iloc[0]) for name in BOUNDS)
    session = terms["session"]

    def play(absent):
        rules = BookRules(1, MAX_TICKS - 1, SelfTrade(session["self_trade"]))
        played = replay_day(OrderBook(rules, reference), today, session, (lowest, highest), absent)
        return pd.concat([pd.DataFrame(vars(one)) for _, one in played], ignore_index=True)

    first = fills.query("asset == 0 and day == 0")
    everybody = play(np.zeros(0, np.int64))
    np.testing.assert_array_equal(everybody["price_ticks"], first["price_ticks"])
    busiest = int(first["buyer"].mode()[0])
    others = play(np.array([busiest]))
    assert len(others)
    assert not ((others["buyer"] == busiest) | (others["seller"] == busiest)).any()


def test_a_log_with_one_price_changed_does_not():
    _, tape = recorded(("call", "continuous", "call"))
    log = tape.frame("orders")
    traded = tape.frame("fills")["price_ticks"].to_numpy()
    again = np.concatenate([replay_log(tape, a).fills["price_ticks"] for a in range(5)])
    assert sorted(again) == sorted(traded)
    first = log.index[(log["kind"] == 0) & (log["filled"] > 0) & (log["side"] > 0)][0]
    log.loc[first, "price_ticks"] //= 2

    class Changed:
        manifest = tape.manifest

        def frame(self, table):
            return log if table == "orders" else tape.frame(table)

    changed = np.concatenate([replay_log(Changed(), a).fills["price_ticks"] for a in range(5)])
    assert sorted(changed) != sorted(traded)


def test_accounts_follow_from_trades_settlements_and_grants():
    _, tape = recorded(("continuous", "call", "continuous"), rate=0.0)
    fills, prices = tape.frame("fills"), tape.frame("prices")
    accounts = tape.frame("accounts")
    cash = accounts[accounts["day"] == 0].set_index("agent")["cash_cents"].to_numpy().copy()
    lots = np.zeros((len(cash), len(INSTRUMENTS)), int)
    start = tape.frame("holdings").query("day == 0")
    lots[start["agent"], start["asset"]] = start["position"]
    for day in range(1, DAYS):
        for asset, item in enumerate(INSTRUMENTS):
            today = prices[(prices["day"] == day) & (prices["asset"] == asset)].iloc[0]
            before = prices[(prices["day"] == day - 1) & (prices["asset"] == asset)].iloc[0]
            for fill in fills[(fills["day"] == day) & (fills["asset"] == asset)].itertuples():
                value = fill.price_ticks * fill.quantity * item.lot_tick_cents
                fee, tax = value * item.fee_bps // 10_000, value * item.sell_tax_bps // 10_000
                paid = value
                if item.kind == "future":
                    paid -= before.settle_ticks * fill.quantity * item.lot_tick_cents
                cash[fill.buyer] -= paid + fee
                cash[fill.seller] += paid - fee - tax
                lots[fill.buyer, asset] += fill.quantity
                lots[fill.seller, asset] -= fill.quantity
            if item.kind == "future":
                change = today.settle_ticks - before.settle_ticks
                cash += lots[:, asset] * change * item.lot_tick_cents
    pools = tape.frame("pools")
    last = accounts[accounts["day"] == DAYS - 1]["cash_cents"].to_numpy()
    written_off = pools["bankruptcy_cents"].iloc[0] - pools["bankruptcy_cents"].iloc[-1]
    assert (last - cash).sum() == written_off
    np.testing.assert_array_equal(last[last > 0], cash[last > 0])
    held = tape.frame("holdings").query("day == @DAYS - 1")
    np.testing.assert_array_equal(lots[held["agent"], held["asset"]], held["position"])
    assert len(held) == np.count_nonzero(lots)


def test_every_order_is_filled_resting_cancelled_or_rejected_with_a_reason():
    _, tape = recorded(("call", "continuous", "call"), seed=4)
    orders = tape.frame("orders")
    rejected = orders["status"] == Status.REJECTED
    assert (orders.loc[rejected, "reason"] != Reason.NONE).all()
    assert (orders.loc[rejected, "filled"] == 0).all()
    seen = {Reason(reason) for reason in orders["reason"]}
    wanted = {Reason.NO_CASH, Reason.NO_HOLDINGS, Reason.NO_MARGIN, Reason.SHORT_SALE}
    assert wanted | {Reason.HALTED, Reason.MARGIN_CALL, Reason.BAD_PRICE} <= seen


def test_a_folder_holds_the_same_tape_as_memory(tmp_path):
    _, tape = recorded(("call", "continuous", "call"))
    again, _ = make_anything(3, ("call", "continuous", "call"), 0.4)
    with Recorder(tmp_path, describe_instruments(again), part_bytes=20_000) as recorder:
        again.keep(TapeJournal(recorder, depth_every=1))
        again.run(DAYS)
    read = read_tape(tmp_path)
    assert read.manifest.digest == tape.manifest.digest
    depth = read.frame("depth")
    assert set(depth["side"]) == {-1, 1}
    assert depth["quantity"].min() > 0
    prices = read.frame("prices")
    assert (prices["low_ticks"] <= prices["close_ticks"]).all()
    traded = prices[prices["volume"] > 0]
    inside = traded["settle_ticks"].between(traded["low_ticks"], traded["high_ticks"])
    assert inside.mean() > 0.9  # all but the authored ones


def digest_of(seed):
    exchange, _ = make_anything(seed, ("call", "continuous", "call"), 0.2)
    sink = MemoryRecorder(describe_instruments(exchange))
    exchange.keep(TapeJournal(sink))
    exchange.run(8)
    return sink.digest


def test_a_tape_does_not_depend_on_the_number_of_workers():
    here = [digest_of(seed) for seed in (1, 2, 3, 1)]
    assert here[0] == here[3] != here[1]
    assert Parallel(2)(delayed(digest_of)(seed) for seed in (1, 2, 3, 1)) == here

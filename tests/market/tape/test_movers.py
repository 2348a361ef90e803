"""Who moved a price: cleared by hand, in both kinds of market, and against the log itself."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from evobourse.market.accounts import Accounts
from evobourse.market.errors import MarketError
from evobourse.market.tape.daily_tape import Tape
from evobourse.market.tape.movers import NOBODY, find_movers


def orders(*rows):
    columns = ["day", "agent", "side", "price_ticks", "quantity", "reason", "filled"]
    return pd.DataFrame([(*row, 0, 0) for row in rows], columns=columns)


def write(folder, closes, sent, decided):
    """Write a daily tape whose last close before it is 100."""
    closes = np.array(closes, np.int64)
    days = np.arange(len(closes))
    prices = dict.fromkeys(
        ("open_ticks", "high_ticks", "low_ticks", "close_ticks", "settle_ticks"), closes
    )
    decisions = pd.DataFrame(decided, columns=["day", "agent", "persona"])
    owned = Accounts(np.array([0, 0, 0]), np.array([0, 0, 0]))
    tape = Tape(100, days, volume=closes, accounts=owned, **prices)
    replace(tape, orders=sent, decisions=decisions).write(folder)


def test_the_price_without_each(tmp_path):
    # 0 sells 10 at 104, 1 bids 5 at 106 and 2 bids 10 at 110: above 106 nobody is left over, and
    # 107 is nearest to 100. Without either buyer 104 is nearest; without the seller nothing trades.
    sent = orders((0, 0, -1, 104, 10), (0, 1, 1, 106, 5), (0, 2, 1, 110, 10))
    write(tmp_path, [107], sent, [(0, 0, 7), (0, 1, 8), (0, 2, 9)])
    found = find_movers(tmp_path).set_index("group")
    assert found["net_lots"].to_dict() == {7: -10, 8: 5, 9: 10}
    assert found["price_ticks"].tolist() == [107] * 3
    assert found["without_ticks"].to_dict() == {7: 100, 8: 104, 9: 104}
    np.testing.assert_allclose(found["log_effect"], np.log([1.07, 107 / 104, 107 / 104]))
    np.testing.assert_allclose(found["log_move"], np.log(1.07))


def test_groups_are_those_of_the_day_and_agents_without_one_are_nobodys(tmp_path):
    sent = orders(
        (0, 0, -1, 90, 1), (0, 1, 1, 95, 1),
        (1, 0, -1, 90, 1), (1, 1, 1, 95, 1),
    )  # fmt: skip
    write(tmp_path, [95, 95], sent, [(0, 0, 3), (1, 0, 4)])
    found = find_movers(tmp_path)
    assert found["group"].tolist() == [NOBODY, 3, NOBODY, 4]
    assert found["without_ticks"].tolist() == [100, 100, 95, 95]  # nothing trades: the last close


def test_what_was_turned_away_moved_nothing(tmp_path):
    sent = orders((0, 0, -1, 90, 1), (0, 1, 1, 95, 1), (0, 2, 1, 120, 9))
    sent.loc[2, "reason"] = 1
    write(tmp_path, [95], sent, [(0, 0, 0), (0, 1, 1), (0, 2, 2)])
    assert find_movers(tmp_path)["group"].tolist() == [0, 1]


def test_a_tape_of_prices_alone_is_refused(tmp_path):
    write(tmp_path, [95], None, [(0, 0, 0)])
    with pytest.raises(MarketError, match=r"no orders\.parquet; record the market in full"):
        find_movers(tmp_path)

"""Tapes: the digest sees every byte, and Parquet gives back what was written."""

from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from evobourse.market.accounts import Accounts
from evobourse.market.daily_auction import simulate
from evobourse.market.errors import MarketError
from evobourse.market.tape.daily_tape import FRAME_COLUMNS, Tape, is_tape, read_closes


@pytest.fixture
def tape(make_pair):
    return simulate(*zip(make_pair(), strict=True), 20)[0]


GOLDEN = "2d3d719816fcd0265755c0543d69780363cd0003e5e2228d389911a900885ada"


def small_tape(**changes):
    day = np.arange(3, dtype=np.int64)
    prices = dict.fromkeys(FRAME_COLUMNS[1:6], day + 100)
    accounts = Accounts(np.array([5, 6]), np.array([7, 8]), fees_cents=9)
    return replace(
        Tape(initial_close_ticks=99, day=day, volume=day * 10, accounts=accounts, **prices),
        **changes,
    )


def test_the_digest_is_the_same_on_every_machine():
    # A golden value: a change here breaks every stored digest and needs a changelog line.
    decisions = pd.DataFrame({"day": [0, 1], "tendency": [0.25, -1.5], "style": ["a", "bé"]})
    assert small_tape(decisions=decisions).digest() == GOLDEN


def test_the_digest_sees_every_field(tape):
    seen = {tape.digest()}
    for field in fields(Tape):
        value = getattr(tape, field.name)
        if isinstance(value, int):
            changed = value + 1
        elif isinstance(value, np.ndarray):
            changed = value.copy()
            changed[-1] += 1
        elif isinstance(value, Accounts):
            changed = Accounts(value.cash_cents, value.shares, value.fees_cents + 1)
        else:
            changed = value.iloc[::-1]
        seen.add(replace(tape, **{field.name: changed}).digest())
    assert len(seen) == 1 + len(fields(Tape))


def test_write_then_read(tape, tmp_path):
    folder = tmp_path / "deep" / "tape"
    tape.write(folder)
    names = ["accounts", "decisions", "orders", "prices"]
    assert sorted(path.name for path in folder.iterdir()) == [f"{n}.parquet" for n in names]
    tables = {name: pd.read_parquet(folder / f"{name}.parquet") for name in names}
    pd.testing.assert_frame_equal(tables["prices"], tape.frame)
    pd.testing.assert_frame_equal(tables["orders"], tape.orders)
    pd.testing.assert_frame_equal(tables["decisions"], tape.decisions)
    metadata = pq.read_schema(folder / "prices.parquet").metadata
    fees = pq.read_schema(folder / "accounts.parquet").metadata[b"fees_cents"]
    accounts = tables["accounts"]
    back = Tape(
        initial_close_ticks=int(metadata[b"initial_close_ticks"]),
        **{column: tables["prices"][column].to_numpy() for column in FRAME_COLUMNS},
        accounts=Accounts(
            accounts["cash_cents"].to_numpy(), accounts["shares"].to_numpy(), int(fees)
        ),
        orders=tables["orders"],
        decisions=tables["decisions"],
    )
    assert back.digest() == tape.digest() == metadata[b"digest"].decode()


def test_a_rewrite_leaves_nothing_stale(tape, tmp_path):
    tape.write(tmp_path)
    small_tape().write(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "accounts.parquet",
        "prices.parquet",
    ]


def test_log_returns_start_from_the_history():
    expected = np.log(np.array([100, 101, 102]) / np.array([99, 100, 101]))
    np.testing.assert_allclose(small_tape().log_returns(), expected, rtol=1e-12)


def test_decisions_that_nobody_recorded_are_refused():
    with pytest.raises(MarketError, match="record the market in full"):
        small_tape().full_decisions()
    decisions = pd.DataFrame({"day": [0], "tendency": [1]})
    assert small_tape(decisions=decisions).full_decisions() is decisions


def test_a_written_tape_gives_back_its_closes_from_the_historys_last(tape, tmp_path):
    tape.write(tmp_path)
    for path in (tmp_path, tmp_path / "prices.parquet"):
        assert is_tape(path)
        close_ticks, volume = read_closes(path)
        np.testing.assert_array_equal(np.diff(np.log(close_ticks)), tape.log_returns())
        np.testing.assert_array_equal(volume, tape.volume)


def test_what_is_no_tape_is_told_apart_and_a_damaged_one_refused(tmp_path):
    assert not is_tape(tmp_path)
    (tmp_path / "prices.parquet").write_text("no Parquet")
    assert not is_tape(tmp_path)
    pd.DataFrame({"close": [1.0]}).to_parquet(tmp_path / "prices.parquet")
    assert not is_tape(tmp_path)
    small_tape(close_ticks=np.array([100, 0, 100])).write(tmp_path)
    with pytest.raises(MarketError, match="close of 0 ticks in row 2"):
        read_closes(tmp_path)
    table = pq.read_table(tmp_path / "prices.parquet")
    pq.write_table(table.drop_columns("volume"), tmp_path / "prices.parquet")
    with pytest.raises(MarketError, match="missing column volume"):
        read_closes(tmp_path)

"""Days without a trade: found exactly, and kept or dropped as the policy says."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evobourse.agents.crowds.offsets import fit_offsets
from evobourse.agents.crowds.order_regimes import measure_orders
from evobourse.market.errors import SeriesError
from evobourse.market.series.named import load_series

DAYS = 600


def moving_bars(seed=1):
    draw = np.random.default_rng(seed)
    close = 50 * np.exp(np.cumsum(draw.normal(0, 0.01, DAYS)))
    days = np.busday_offset("2008-01-01", np.arange(DAYS), roll="forward")
    sides = {"open": close, "high": close * 1.01, "low": close * 0.99, "close": close}
    return pd.DataFrame({"date": days, **sides, "volume": draw.integers(1, 9, DAYS)})


def suspend(frame, rows, how):
    """Spoil rows as providers do: repeated, emptied, or zero prices."""
    gone = frame.index.isin(rows)
    frame = frame.assign(volume=frame.volume.where(~gone, 0.0))
    before = frame.close.mask(gone).ffill()
    for column in ("open", "high", "low", "close"):
        spoilt = before if how == "repeated" else np.nan if how == "empty" else 0.0
        frame[column] = frame[column].where(~gone, spoilt)
    return frame


@settings(max_examples=25)
@given(
    st.sets(st.integers(1, DAYS - 1), min_size=1, max_size=80),
    st.sampled_from(["repeated", "empty", "zero"]),
    st.sampled_from(["csv", "parquet"]),
)
def test_suspended_days_are_kept_at_the_last_close_or_dropped(tmp_path_factory, rows, how, ending):
    file = tmp_path_factory.mktemp("suspended") / f"share.{ending}"
    frame = suspend(moving_bars(), sorted(rows), how)
    frame.to_csv(file, index=False) if ending == "csv" else frame.to_parquet(file)
    first = min(rows)
    with pytest.raises(SeriesError, match=rf"row {first + 1} .*\({len(rows) - 1} more\); set susp"):
        load_series(str(file), stock_splits="accept")
    kept = load_series(str(file), stock_splits="accept", suspended_days="keep")
    np.testing.assert_array_equal(kept.close, frame.close.mask(frame.index.isin(rows)).ffill())
    np.testing.assert_array_equal(kept.volume == 0, frame.index.isin(rows))
    dropped = load_series(str(file), stock_splits="accept", suspended_days="drop")
    left = frame.drop(index=sorted(rows))
    np.testing.assert_array_equal(dropped.dates, left.date)
    np.testing.assert_array_equal(dropped.close, left.close)


def test_an_unchanged_close_among_closes_alone_is_no_suspension_but_five_are(tmp_path):
    frame = moving_bars()[["date", "close"]]
    frame.loc[[10, 20, 21, 22, 23], "close"] = frame.close[[9, 19, 19, 19, 19]].to_numpy()
    frame.to_csv(tmp_path / "closes.csv", index=False)
    assert len(load_series(str(tmp_path / "closes.csv"), close_only=True)) == DAYS
    frame.loc[24, "close"] = frame.close[19]
    frame.to_csv(tmp_path / "closes.csv", index=False)
    with pytest.raises(SeriesError, match=r"row 21 .*repeats the close before.*\(4 more\)"):
        load_series(str(tmp_path / "closes.csv"), close_only=True)


def test_a_price_that_never_moves_is_left_to_the_score(tmp_path):
    frame = moving_bars().assign(open=5.0, high=5.0, low=5.0, close=5.0, volume=0)
    frame.to_csv(tmp_path / "still.csv", index=False)
    assert len(load_series(str(tmp_path / "still.csv"))) == DAYS


def test_an_empty_first_row_has_nothing_to_keep(tmp_path):
    suspend(moving_bars(), [0], "empty").to_csv(tmp_path / "late.csv", index=False)
    with pytest.raises(SeriesError, match=r"row 1 \(2008-01-01\) has no price and none before it"):
        load_series(str(tmp_path / "late.csv"), suspended_days="keep")
    assert len(load_series(str(tmp_path / "late.csv"), suspended_days="drop")) == DAYS - 1


@pytest.mark.parametrize("days", [25, 270])
def test_long_suspensions_that_are_kept_leave_finite_orders(tmp_path, days):
    file = tmp_path / "share.csv"
    suspend(moving_bars(), range(100, 100 + days), "repeated").to_csv(file, index=False)
    kept = load_series(str(file), suspended_days="keep")
    clusters = fit_offsets(kept.high, kept.low, kept.close)
    assert np.isfinite([clusters.weights, clusters.means, clusters.deviations]).all()
    real = measure_orders(kept.high, kept.low, kept.close, kept.volume)
    assert all(np.isfinite(values).all() for values in vars(real).values())

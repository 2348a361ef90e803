"""Trading real prices on paper: what is known, and what a trade costs."""

import numpy as np
import pytest

from evobourse.agents.observation import decode_view, possible_views
from evobourse.experiments.simulate.paper_trading import hold, real_views, trade

COST = 0.01


def always(choice, personas=1, attention=2):
    """Choices that are always the same option of five."""
    table = np.zeros((personas, len(possible_views(attention)), 5))
    table[..., choice:] = 1.0
    return table


def test_a_view_knows_the_closes_before_its_day_alone_and_neither_news_nor_others(sp500):
    days = range(300, 320)
    views = real_views(sp500.close, days, 2)
    later = sp500.close.copy()
    later[310:] *= 2
    np.testing.assert_array_equal(real_views(later, days, 2)[:11], views[:11])
    assert (real_views(later, days, 2)[11:] != views[11:]).any()
    levels = decode_view(views)
    assert (levels[..., 4:] == -1).all()
    assert ((levels >= 0).sum(axis=-1) == 2).all()
    assert views.shape == (20, 6)


def test_who_always_holds_has_half_of_the_asset_and_pays_nothing(sp500):
    days = range(300, 400)
    rng = np.random.default_rng(1)
    [record] = trade(sp500, days, always(2), 2, 3, COST, rng)
    start, end = sp500.close[[299, 399]]
    assert np.prod(1 + record.returns) == pytest.approx(0.5 + 0.5 * end / start)
    assert record.turnover == pytest.approx(0, abs=1e-12)


def test_who_always_buys_is_bought_in_at_the_opens_for_the_cost(sp500):
    days = range(300, 303)
    [record] = trade(sp500, days, always(4), 2, 1, COST, np.random.default_rng(1))
    first, last = sp500.open[300], sp500.close[302]
    before = 0.5 + 0.5 * first / sp500.close[299]
    # strong buy moves half of the wealth, which is all the cash left after the cost
    shares = 0.5 / sp500.close[299] + 0.5 / (1 + COST) / first
    assert np.prod(1 + record.returns) == pytest.approx(shares * last, rel=1e-6)
    assert before > 0.9
    [seller] = trade(sp500, days, always(0), 2, 1, COST, np.random.default_rng(1))
    assert np.prod(1 + seller.returns) < 1
    assert seller.invested == pytest.approx(0, abs=1e-9)


def test_holding_pays_its_cost_once(sp500):
    days = range(300, 400)
    whole, half = (hold(sp500, days, part, COST) for part in (1.0, 0.5))
    gain = sp500.close[399] / sp500.open[300]
    assert np.prod(1 + whole.returns) == pytest.approx(gain - COST)
    assert np.prod(1 + half.returns) == pytest.approx(0.5 + 0.5 * gain - COST / 2)

import numpy as np
import pytest

from evobourse.experiments.studies.market_checks.auction import (
    SCHEDULES,
    TRADERS_A_SIDE,
    play_periods,
)
from evobourse.market.crowds.zero_intelligence import ZeroIntelligence, equilibrium
from evobourse.market.errors import MarketError


def brute_equilibrium(demand, supply):
    """Try every price: where the volume is largest, and the gains of trading there."""
    prices = range(min(supply) - 1, max(demand) + 2)
    surplus = {}
    for price in prices:
        buyers = sorted((v for v in demand if v >= price), reverse=True)
        sellers = sorted(c for c in supply if c <= price)
        surplus[price] = sum(v - c for v, c in zip(buyers, sellers, strict=False))
    best = max(surplus.values())
    clearing = [
        p
        for p in prices
        if sum(v > p for v in demand) <= sum(c <= p for c in supply)
        and sum(c < p for c in supply) <= sum(v >= p for v in demand)
    ]
    return best, min(clearing), max(clearing)


@pytest.mark.parametrize("seed", range(20))
def test_the_equilibrium_is_where_no_price_does_better(seed):
    rng = np.random.default_rng(seed)
    values = np.sort(rng.integers(40, 90, (3, 4)), axis=1)[:, ::-1]
    costs = np.sort(rng.integers(10, 80, (5, 4)), axis=1)
    side = np.repeat([1, -1], [3, 5]).astype(np.int8)
    found = equilibrium(side, np.concatenate([values, costs]))
    surplus, lowest, highest = brute_equilibrium(values.ravel().tolist(), costs.ravel().tolist())
    assert found.surplus_ticks == surplus
    assert (found.lowest_ticks, found.highest_ticks) == (lowest, highest)


def test_without_gains_from_trade_there_is_no_equilibrium():
    with pytest.raises(MarketError, match="no value exceeds a cost"):
        equilibrium(np.array([1, -1], np.int8), np.array([[5], [9]]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"values_ticks": np.array([[5, 9], [1, 2]])}, "falling values of a buyer"),
        ({"values_ticks": np.array([[9, 5], [2, 1]])}, "rising costs of a seller"),
        ({"values_ticks": np.array([[90, 5], [1, 2]])}, "from 1 to 20"),
        ({"values_ticks": np.array([[9, 5]])}, "expected \\(2, units\\)"),
        ({"shouts": 0}, "at least 1 a turn"),
    ],
)
def test_impossible_traders_are_refused(changes, message):
    given = {"side": np.array([1, -1]), "values_ticks": np.array([[9, 5], [1, 2]]), "shouts": 1}
    with pytest.raises(MarketError, match=message):
        ZeroIntelligence(
            **(given | changes),
            prices_ticks=(1, 20),
            constrained=True,
            rng=np.random.default_rng(0),
        )


@pytest.mark.parametrize("constrained", [True, False])
def test_nobody_breaks_the_budget_unless_he_has_none(constrained, open_exchange, watch):
    side, values = SCHEDULES["1 symmetric"].sides()
    rng = np.random.default_rng(3)
    crowd = ZeroIntelligence(side, values, (1_001, 1_200), constrained, 6, rng)
    exchange = open_exchange([crowd], ("continuous",) * 30, (1_100,), price_limit=0.25)
    watched = watch(exchange, 1)
    worth = np.zeros(len(side))
    for batch in watched.batches:
        fills = batch.fills
        np.add.at(worth, fills.buyer, -fills.price_ticks)
        np.add.at(worth, fills.seller, fills.price_ticks)
    for row, units in enumerate(crowd.units_traded):
        worth[row] += side[row] * values[row, :units].sum()
    assert (worth.min() >= 0) == constrained
    assert worth.sum() == crowd.surplus_ticks()
    assert crowd.units_traded[side > 0].sum() == crowd.units_traded[side < 0].sum() > 0
    assert sum(len(batch.fills) for batch in watched.batches) == crowd.units_traded[side > 0].sum()


def test_a_trade_clears_the_book_and_quotes_stand_until_then(open_exchange):
    side, values = SCHEDULES["1 symmetric"].sides()
    rng = np.random.default_rng(3)
    crowd = ZeroIntelligence(side, values, (1_001, 1_200), True, 1, rng)
    exchange = open_exchange([crowd], ("continuous",) * 200, (1_100,), price_limit=0.25)
    exchange.play_day()
    entered = np.zeros(200, int)
    traded = np.zeros(200, bool)
    for batch in exchange.listings[0].batches:
        entered[batch.turn] += (batch.events.kind <= 2).sum()
        traded[batch.turn] |= len(batch.fills) > 0
    assert entered.max() == 1  # the paper's auction: one shout at a time
    assert 15 <= traded.sum() <= TRADERS_A_SIDE * 4


def test_budgets_make_the_auction_efficient_as_gode_and_sunder_found():
    """Published: 98.7 % on average with budgets; without, far less where much is out of money."""
    played = {
        (name, constrained): [
            play_periods(schedule, constrained, 2, 50, 12, seed) for seed in range(2)
        ]
        for name, schedule in SCHEDULES.items()
        for constrained in (True, False)
    }
    efficiency = {k: np.mean([p.efficiency for p in v]) for k, v in played.items()}
    for name in SCHEDULES:
        assert efficiency[name, True] > max(0.93, efficiency[name, False] + 0.05)
    assert np.mean([efficiency[name, True] for name in SCHEDULES]) > 0.96
    assert 0.8 < efficiency["1 symmetric", False] < 0.95
    first, last = (
        np.mean([[p.deviation[k] for p in played[name, True]] for name in SCHEDULES])
        for k in (0, 2)
    )
    assert last < 0.7 * first
    unconstrained = [p.deviation for name in SCHEDULES for p in played[name, False]]
    assert np.mean(unconstrained, axis=0)[2] > 0.7 * np.mean(unconstrained, axis=0)[0]

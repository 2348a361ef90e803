"""Screening by hand-made cases, fees against exact arithmetic."""

from fractions import Fraction
from math import ceil, floor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evobourse.market.accounts import Accounts, RejectReason
from evobourse.market.cents import part, part_up
from evobourse.market.crowd import Orders
from evobourse.market.errors import MarketError
from evobourse.market.rules import MarketRules

HUGE = 2**62


def orders_of(*rows):
    return Orders(*(np.array(column) for column in zip(*rows, strict=True)))


def reasons(accounts, orders, rules, sequence=None):
    sequence = np.arange(len(orders)) if sequence is None else np.array(sequence)
    return [RejectReason(r).name for r in accounts.screen(orders, sequence, rules, 100)]


@settings(deadline=None)
@given(st.integers(0, 2**62), st.integers(0, 10_000))
def test_fee_is_the_exact_share_rounded_up(value_cents, fee_bps):
    exact = Fraction(value_cents * fee_bps, 10_000)
    assert part_up(value_cents, fee_bps) == ceil(exact)
    assert part(value_cents, fee_bps) == floor(exact)


def test_every_reason():
    accounts = Accounts(np.array([1000]), np.array([5]))
    orders = orders_of(
        (0, 1, 100, 10),
        (0, 1, 80, 1),
        (0, -1, 120, 6),
        (0, -1, 120, 5),
        (0, 1, 121, 1),
        (0, -1, 79, 1),
        (0, 1, 0, 1),
        (0, 1, 100, 0),
        (0, -1, 100, -3),
        (0, 1, 100, HUGE),
    )
    assert reasons(accounts, orders, MarketRules()) == [
        *("ACCEPTED", "NO_CASH", "NO_SHARES", "ACCEPTED", "BAD_PRICE", "BAD_PRICE"),
        *("BAD_PRICE", "BAD_QUANTITY", "BAD_QUANTITY", "NO_CASH"),
    ]


def test_orders_are_reserved_in_order_of_arrival():
    accounts = Accounts(np.array([1000, 0]), np.array([0, 5]))
    orders = orders_of((0, 1, 100, 6), (0, 1, 100, 10), (1, -1, 100, 3), (1, -1, 100, 3))
    rules = MarketRules()
    assert reasons(accounts, orders, rules) == ["ACCEPTED", "NO_CASH", "ACCEPTED", "NO_SHARES"]
    assert reasons(accounts, orders, rules, [3, 1, 0, 2]) == [
        *("NO_CASH", "ACCEPTED", "NO_SHARES", "ACCEPTED")
    ]


def test_the_fee_must_be_affordable_too():
    accounts = Accounts(np.array([1000, 1001]), np.array([0, 0]))
    orders = orders_of((0, 1, 100, 10), (1, 1, 100, 10))
    assert reasons(accounts, orders, MarketRules(fee_bps=1)) == ["NO_CASH", "ACCEPTED"]


def test_settlement_moves_cash_shares_and_fees():
    accounts = Accounts(np.array([10_000, 0]), np.array([0, 5]))
    orders = orders_of((0, 1, 100, 5), (1, -1, 90, 5))
    rules = MarketRules(tick_cents=10, fee_bps=1)
    accounts.settle(orders, np.array([3, 3]), 95, rules)
    assert accounts.cash_cents.tolist() == [10_000 - 2850 - 1, 2850 - 1]
    assert accounts.shares.tolist() == [3, 2]
    assert accounts.fees_cents == 2


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: Accounts(np.array([5, -1]), np.array([0, 0])), r"cash_cents\[1\] is -1"),
        (lambda: Accounts(np.array([5.0]), np.array([0])), "float64"),
        (lambda: Accounts(np.array([5]), np.array([0, 1])), r"shape \(2,\)"),
        (lambda: orders_of((0, 257, 1, 1)), r"side\[0\] is 257"),
        (lambda: orders_of((0, 1, 1.5, 1)), "price_ticks is float64"),
        (lambda: MarketRules(fee_bps=10_001), "fee_bps is 10001"),
        (lambda: MarketRules(price_limit=1.0), "price_limit is 1.0"),
        (lambda: MarketRules(tick_cents=0), "tick_cents is 0"),
    ],
)
def test_bad_input_is_refused(make, complaint):
    with pytest.raises(MarketError, match=complaint):
        make()


def test_an_unknown_agent_is_refused():
    accounts = Accounts(np.array([5]), np.array([0]))
    with pytest.raises(MarketError, match=r"orders.agent\[1\] is 1, expected 0 to 0"):
        reasons(accounts, orders_of((0, 1, 100, 1), (1, 1, 100, 1)), MarketRules())


@pytest.mark.parametrize(
    ("limit", "reference", "band"),
    [(0.2, 100, (80, 120)), (0.29, 100, (71, 129)), (0.2, 3, (2, 4)), (0.2, 1, (1, 2))],
)
def test_price_band(limit, reference, band):
    assert MarketRules(price_limit=limit).price_band(reference) == band

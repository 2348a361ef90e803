"""The guide to the exchange: its code runs, and what it says of reasons is so."""

import re
from pathlib import Path

import numpy as np

from evobourse.market.book.order_events import Reason

GUIDE = (Path(__file__).parents[2] / "docs" / "exchange.md").read_text()


def test_the_guides_code_runs():
    names = {}
    for block in re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL):
        exec(compile(block, "docs/exchange.md", "exec"), names)
    prices = names["prices"]
    assert len(prices) == 20
    assert (prices["volume"] > 0).all()

    class Both(names["BuysDips"]):
        pass

    exchange = names["Exchange"](
        [names["share"], names["contract"]],
        [np.array([100]), np.array([20_000])],
        [names["noise"], Both()],
        np.full(51, 10_000_000),
        np.array([[500, 0]] * 51),
        np.random.default_rng(0),
    )
    exchange.run(5)


def test_the_guides_reasons_exist():
    named = set(re.findall(r"`([A-Z_]{5,})`", GUIDE))
    assert named <= set(Reason.__members__)
    assert {reason.name for reason in Reason if reason > Reason.END_OF_DAY} <= named

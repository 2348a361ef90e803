"""What a summary says of loud news: which it is, and what the price did."""

import json

import numpy as np
import pandas as pd
import pytest

from evobourse.experiments.simulate.news_reactions import reactions, without_loud_news
from evobourse.market.events.kinds import Halt, News


def test_a_day_with_loud_news_is_told_with_what_the_price_did():
    history = np.rint(10_000 * np.exp(np.cumsum([0.01, -0.01] * 20))).astype(np.int64)
    closes, quiet = (
        np.rint(history[-1] * np.exp(np.cumsum(returns))).astype(np.int64)
        for returns in ([0.01, -0.03, -0.02], [0.01, 0.01, 0.0])
    )
    tone = [("news", 1, -3.0), ("news", 1, 0.5), ("news", 0, 1.9), ("rumour", 2, -9.0)]
    rows = [(kind, day, json.dumps({"tone": one})) for kind, day, one in tone]
    events = pd.DataFrame(rows, columns=["kind", "day", "detail"])
    [told] = reactions(events, history, closes)
    assert (told["day"], told["tone"]) == (1, -2.5)
    assert (told["moved"], told["moved_by_next"]) == pytest.approx((-3.0, -5.0), abs=0.03)
    [told] = reactions(events, history, closes, quiet)
    assert (told["moved"], told["moved_by_next"]) == pytest.approx((-4.0, -6.0), abs=0.04)


def test_only_loud_news_is_left_out():
    loud = [News(day=1, text="A.", tone=-1.5), News(day=1, text="B.", tone=-1.5)]
    rest = [News(day=2, text="C.", tone=1.9), Halt(day=1, asset="stock")]
    assert without_loud_news([*loud, *rest]) == rest
    assert without_loud_news([]) == []

"""The ablation: strict replies, malformed ones counted and on the tape, on the real model."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evobourse.agents.crowds.own_numbers import NamingCrowd, NumberWriter, parse_reply
from evobourse.agents.crowds.persona_crowd import history_ticks
from evobourse.agents.minds.choices import tabulate_choices
from evobourse.agents.minds.stand_ins import TeacherMinds
from evobourse.market.daily_auction import Market, simulate
from evobourse.market.rules import MarketRules


@given(st.integers(-9999, 9999), st.integers(1, 9999))
def test_orders_in_the_one_form_are_read(hundredths, lots):
    text = f" {hundredths / 100:+.2f}% {lots} lots"
    named = parse_reply(text)
    assert named.offset_percent == pytest.approx(hundredths / 100)
    assert named.lots == lots


@pytest.mark.parametrize(
    "text",
    [
        "",
        "buy",
        "+0.80%",
        "20 lots",
        "+0.80 20 lots",
        "+0.8 percent, 20 lots",
        "+1,20% 20 lots",
        "+120% 20 lots",
        "+1.234% 20 lots",
        "+1.2% 0 lots",
        "+1.2% -5 lots",
        "+1.2% 20",
        "about +1.2% 20 lots",
        "nan% 20 lots",
    ],
)
def test_anything_else_is_malformed(text):
    assert parse_reply(text).lots is parse_reply(text).offset_percent is None


def test_a_market_of_named_numbers_counts_what_does_not_parse(
    population, offsets, sp500, fresh_engine
):
    people = population(np.eye(3).tolist(), {"news": 0.0}, attention=1)
    [choices] = tabulate_choices([people], TeacherMinds(("momentum", "value", "contrarian")))

    def run():
        of_crowd, of_market = np.random.default_rng(4).spawn(2)
        crowd = NamingCrowd(people, choices, offsets, 12, of_crowd)
        crowd.name_with(NumberWriter(fresh_engine()))
        history = history_ticks(sp500.close[:1000])
        market = Market(MarketRules(), history, crowd.accounts(), of_market, "full")
        [tape] = simulate([market], [crowd], 2)
        return crowd, tape

    crowd, tape = run()
    decisions = tape.decisions
    malformed = sum(reply.lots is None for reply in crowd.replies)
    assert len(crowd.replies) > 0
    assert decisions["malformed"].sum() == malformed
    good = decisions[decisions["lots"].notna()].set_index(["day", "agent"])
    sent = tape.orders.set_index(["day", "agent"])
    assert len(sent) == len(good) == len(crowd.replies) - malformed
    np.testing.assert_array_equal(sent["quantity"].sort_index(), good["lots"].sort_index())
    again = run()[1]
    assert again.digest() == tape.digest()

import numpy as np
import pytest

from evobourse.agents.crowds.asking import seat_crowd
from evobourse.agents.crowds.persona_crowd import history_ticks
from evobourse.agents.encodings.encoded_minds import EncodedMinds
from evobourse.agents.encodings.encoding import WORDS, Encoding
from evobourse.agents.encodings.window import IS_PRICE
from evobourse.agents.minds.choices import tabulate_choices
from evobourse.agents.observation import decode_view
from evobourse.market.daily_auction import Market, simulate
from evobourse.market.rules import MarketRules

DIFFERENT = ((0.9, 0.1, 0.0), (0.2, 0.7, -0.3))


@pytest.fixture(scope="module")
def trade(sp500, offsets):
    """Run one market of a population whose minds' choices are at hand, or are asked."""

    def run(population, choices, n_agents=100, days=20, closes=sp500.close[:1000]):
        of_crowd, of_market = np.random.default_rng(4).spawn(2)
        crowd = seat_crowd(population, choices, offsets, n_agents, of_crowd)
        market = Market(MarketRules(), history_ticks(closes), crowd.accounts(), of_market, "full")
        [tape] = simulate([market], [crowd], days)
        return tape

    return run


@pytest.fixture(scope="module")
def open_tiny(make_engine, tiny):
    def make(name):
        return EncodedMinds(make_engine([tiny[name]]), Encoding(name), [tiny[name]])

    return make


def test_with_words_it_decides_as_the_crowd_with_a_table(population, fresh_engine, trade):
    society = population(DIFFERENT, attention=1, switching=0.1)
    [choices] = tabulate_choices([society], fresh_engine())
    told = trade(society, choices)
    asked = trade(society, EncodedMinds(fresh_engine(), WORDS, []))
    assert told.digest() == asked.digest()
    assert len(told.decisions) == 2000
    assert told.volume.sum() > 0


@pytest.mark.parametrize(("name", "days"), [("patches", 20), ("digits", 3)])
def test_real_minds_trade_on_numbers(name, days, population, open_tiny, trade):
    society = population(((1.0,),), attention=2, momentary_mask=0.3)
    minds = open_tiny(name)
    tape = trade(society, minds, days=days)
    assert tape.volume.sum() > 0
    # One window a day: the questions are personas times what may stand beside it.
    rests = 16 + 2 * 3 + 1
    reference = 8 * 2 * (1 + 2 * 3) + 16
    assert minds.counters.computed <= days * rests + reference
    levels = decode_view(tape.decisions["view"].to_numpy())
    shown = (levels[:, IS_PRICE] >= 0).sum(axis=1)
    assert set(shown) == {0, 4}
    # The window is the market's: all who see it on a day see the same.
    day = tape.decisions["day"].to_numpy()
    for today in range(days):
        seen = levels[(day == today) & (shown == 4)][:, IS_PRICE]
        assert len(np.unique(seen, axis=0)) == 1


def test_what_minds_prefer_over_mirrored_history_is_taken_off(
    population, open_tiny, offsets, sp500
):
    society = population(((1.0,),), attention=2)
    crowd = seat_crowd(society, open_tiny("patches"), offsets, 20, np.random.default_rng(0))
    log_path = np.log(sp500.close[:1000])
    up, down = crowd._measure_lean(log_path), crowd._measure_lean(-log_path)
    np.testing.assert_allclose(up, down, atol=1e-4)
    np.testing.assert_allclose(up, -up[..., ::-1], atol=1e-12)
    assert np.abs(up).max() > 0

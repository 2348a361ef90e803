import numpy as np
import pytest

from evobourse.market.crowds.noise_trader import NoiseFlow, NoiseTraders
from evobourse.market.crowds.pov import VolumeParticipant
from evobourse.market.errors import MarketError

FLOW = NoiseFlow(limit_orders=120.0, market_orders=40.0, window_ticks=30)


def play(open_exchange, watch, rate, side=1, seed=1, days=20):
    buyer = VolumeParticipant(rate, 5, 19, side=side, turn=1)
    noise = NoiseTraders(FLOW, 40, np.random.default_rng(seed))
    watched = watch(open_exchange([buyer, noise]), days)
    return buyer, watched


@pytest.mark.parametrize("rate", [0.1, 0.3])
def test_its_part_of_the_volume_is_the_rate(rate, open_exchange, watch):
    buyer, watched = play(open_exchange, watch, rate)
    part = buyer.traded_lots / sum(watched.volume[5:20])
    assert part == pytest.approx(rate, rel=0.1)


@pytest.mark.parametrize("side", [1, -1])
def test_paired_runs_differ_from_its_first_day_on_and_the_price_gives_way(
    side, open_exchange, watch
):
    moves = []
    for seed in range(2):
        _, without = play(open_exchange, watch, 0.0, side, seed)
        _, pushed = play(open_exchange, watch, 0.3, side, seed)
        assert pushed.closes[:5] == without.closes[:5]
        assert pushed.closes[5:] != without.closes[5:]
        moves.append(np.log(pushed.closes[-1] / without.closes[-1]))
    assert side * np.mean(moves) > 0


@pytest.mark.parametrize("rate", [-0.1, 1.0, np.nan])
def test_impossible_rates_are_named(rate):
    with pytest.raises(MarketError, match=f"rate {rate}"):
        VolumeParticipant(rate, 0, 1)

"""The quickstart's personas in a society that was set by hand: a market without a sweep.

It was set by looking at training windows with the style teachers for minds.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from evobourse.agents.personas.mechanisms import Mechanisms
from evobourse.agents.personas.persona import Population

if TYPE_CHECKING:
    from evobourse.experiments.sweep.setup import Experiment

HAND_SET = "hand-set"
"""What it is called where a bundle or a config could be named."""

ON = Mechanisms(
    two_sided=0.95,
    half_spread=0.15,
    shared_reading=3.0,
    misalignment=1.0,
    value_news=1.0,
    value_half_life_days=1000.0,
    equity_sized=0.7,
    loss_asymmetry=0.5,
)
"""Set by hand; a search begins at them."""

BY_HAND = {
    "share_amateur": 3.5,
    "share_bargain-hunter": 4.0,
    "share_news-reader": 3.0,
    "share_trend-rider": 0.5,
    "share_sceptic": 0.5,
    "share_follower": 0.5,
    "mask_news": 0.1,
    "mask_trend": 0.85,
    "news_noise": 2.5,
    "news_threshold": 0.2,
    "aggressiveness": 2.4,
    "dispersion": 1.0,
    "switching": 0.02,
    "conformity": 0.6,
    "performance": -2.0,
}
"""Where the society set by hand differs from the un-evolved one, with which searches begin."""


def set_by_hand(experiment: Experiment) -> Population:
    """Return an experiment's personas in the society that was set by hand, all mechanisms on."""
    market = replace(experiment.market_genome, mechanisms=ON)
    genome = market.genome()
    values = genome.to_values(genome.start_vector())
    return market.population({**values, "society": {**values["society"], **BY_HAND}})

"""Companies and industries on the real model: told their own data alone, quoting as it chooses."""

from dataclasses import replace

import numpy as np
import pytest

from evobourse.agents.casts.speakers import (
    HOLDINGS,
    Speaker,
    Speakers,
    plain_views,
    render_speaker_rules,
    speaker_prompt,
)
from evobourse.agents.crowds.persona_crowd import history_ticks
from evobourse.agents.observation import (
    FIELD_NAMES,
    INVOCATION,
    decode_view,
    price_values,
    to_levels,
)
from evobourse.agents.personas.persona import Persona
from evobourse.agents.personas.traits import Traits
from evobourse.market.crowds.market_maker import MakerRule, MarketMakers
from evobourse.market.crowds.noise_trader import NoiseFlow, NoiseTraders
from evobourse.market.exchange import Exchange
from evobourse.market.instruments import Instrument
from evobourse.market.session import SessionRules

VALUE = Persona("corp", "", ((0.0, 1.0, 0.0),), 0.7, 1.0)
BLIND = replace(VALUE, name="blind", traits=Traits(never_sees=("news", "trend", "crowd")))


@pytest.fixture
def market(sp500, fresh_engine):
    """Open an exchange of three assets with noise traders and speakers for some of them."""

    def build(speakers, seed=1, turns=("call",)):
        engine = fresh_engine()
        histories = [history_ticks(sp500.close[start : start + 900]) for start in (0, 900, 1800)]
        of_noise, of_choice, of_arrival = np.random.default_rng(seed).spawn(3)
        noise = [
            NoiseTraders(NoiseFlow(6.0, 3.0, mean_lots=2.0), 10, rng, asset)
            for asset, rng in enumerate(of_noise.spawn(3))
        ]
        crowd = Speakers(speakers, lambda persona: engine, MakerRule(), 3, of_choice)
        cash = np.full(30 + crowd.n_agents, 10**8)
        position = np.concatenate([np.full((30, 3), 500), crowd.target_lots])
        exchange = Exchange(
            [Instrument(name) for name in "abc"],
            histories,
            [*noise, crowd],
            cash,
            position,
            of_arrival,
            SessionRules(turns),
        )
        return exchange, crowd, engine

    return build


def test_each_speaks_for_its_own_assets_and_sees_only_them(market):
    speakers = [
        Speaker(VALUE, (0,), (500,)),
        Speaker(BLIND, (1,), (500,)),
        Speaker(replace(VALUE, name="branch"), (1, 2), (500, 500)),
    ]
    exchange, crowd, _ = market(speakers)
    sent = []
    ask = crowd.orders
    crowd.orders = lambda: sent.append(ask()) or sent[-1]
    for _ in range(3):
        closes = [np.log(l.view(None, 0, 1).close_ticks) for l in exchange.listings]  # noqa: E741
        exchange.play_day()
        levels = decode_view(crowd.views)
        own = [closes[0], closes[1], np.mean(closes[1:], axis=0)]
        for row, path in enumerate(own):
            expected = to_levels(np.array([*price_values(path[-251:]), 0.0, 0.0]))[:4]
            shown = levels[row, :4]
            hidden = row == 1
            assert shown[0] == (-1 if hidden else expected[0])
            np.testing.assert_array_equal(shown[1:], expected[1:])
        assert (levels[1, [FIELD_NAMES.index(f) for f in ("news", "trend", "crowd")]] == -1).all()
    for orders in sent:
        pairs = set(zip(orders.agent.tolist(), orders.column("asset").tolist(), strict=True))
        assert pairs <= {(0, 0), (1, 1), (2, 1), (2, 2)}
    assert {
        pair
        for o in sent
        for pair in zip(o.agent.tolist(), o.column("asset").tolist(), strict=True)
    } == {
        (0, 0),
        (1, 1),
        (2, 1),
        (2, 2),
    }
    assert exchange.ledger.position.sum(axis=0).tolist() == [15_500, 16_000, 15_500]


def test_quotes_are_a_market_makers_moved_by_the_choice(market):
    exchange, crowd, _ = market([Speaker(VALUE, (0,), (500,))])
    exchange.play_day()
    exchange.floor.observe(1, 0, "call", exchange.listings, exchange.ledger, [None] * 3, [], 1)
    maker = MarketMakers(MakerRule(), np.array([500]), 0)
    view = crowd._makers[0]._view
    maker.observe(view)
    plain, leant = maker.orders(), crowd.orders()
    day = np.sqrt(maker.variance(view.assets[0]))
    moved = 0.5 * day * crowd.tendency[0]
    np.testing.assert_allclose(leant.price_ticks - plain.price_ticks, moved, atol=1.0)


def test_choices_are_the_models_own_and_lean_neither_way(market):
    exchange, crowd, engine = market([Speaker(VALUE, (0,), (500,))])
    exchange.play_day()
    kind = "company"
    prompts = [speaker_prompt(engine, kind, *shown) for shown in plain_views()]
    mean = engine.answer_prompts(VALUE.mind, prompts).mean(axis=0).astype(float)
    bias = (mean - mean[::-1]) / 2
    tokens = prompts[5].tokens
    text = render_speaker_rules(kind) + INVOCATION
    assert tokens[: len(engine.tokenize(render_speaker_rules(kind)))] == engine.tokenize(
        render_speaker_rules(kind)
    )
    assert len(tokens) > len(engine.tokenize(text))
    [found] = crowd._bias.values()
    np.testing.assert_allclose(found, bias, atol=1e-5)
    # every sign and every holding is a word of the prompt, and none of them a masked one's
    assert len({tuple(p.tokens) for p in prompts}) == len(prompts) == 1 + 22 + len(HOLDINGS)


def test_same_seed_same_quotes(market):
    closes = []
    for _ in range(2):
        exchange, *_ = market([Speaker(VALUE, (0, 1, 2), (500,) * 3)], turns=("call", "continuous"))
        exchange.run(2)
        closes.append(
            [listing.view(None, 0, 1).close_ticks[-2:].tolist() for listing in exchange.listings]
        )
    assert closes[0] == closes[1]

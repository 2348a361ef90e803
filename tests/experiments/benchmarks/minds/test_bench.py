"""The benchmarks of minds: what they ask is real, their ways agree, their sums are right."""

import matplotlib as mpl
import numpy as np
import pytest

from evobourse.agents.observation import FIELD_NAMES, HISTORY_DAYS, decode_view, render_rules
from evobourse.agents.training.examples import real_levels

mpl.use("Agg")


@pytest.fixture(scope="module")
def subject(smol, style_engine):
    from pathlib import Path

    from evobourse import experiments
    from evobourse.experiments.benchmarks.minds.subject import Subject
    from evobourse.experiments.config.experiment import load_config
    from evobourse.experiments.sweep.setup import build_experiment

    quickstart = Path(experiments.__file__).with_name("quickstart.yaml")
    return Subject(build_experiment(load_config(quickstart)), *smol, style_engine)


@pytest.fixture(scope="module")
def population(subject):
    from evobourse.experiments.benchmarks.minds.subject import sixteen_minds

    return sixteen_minds(subject.styles)


@pytest.fixture(scope="module")
def questions(subject, population):
    from evobourse.experiments.benchmarks.minds.subject import morning_questions, real_mornings

    return morning_questions(subject, *real_mornings(subject, population, 300, 1)[0])


def test_a_morning_shows_each_agent_some_of_that_days_real_signs(subject, population):
    from evobourse.experiments.benchmarks.minds.subject import ATTENTION, real_mornings

    mornings = real_mornings(subject, population, 300, 3)
    series, first = subject.experiment.series, subject.experiment.splits.validation.start
    rows = slice(first - HISTORY_DAYS, first + 3)
    expected = real_levels(series.close[rows], series.volume[rows])
    news = FIELD_NAMES.index("news")
    for (personas, views), day in zip(mornings, expected, strict=True):
        seen = decode_view(views)
        assert (personas >= 0).all()
        assert (personas < len(population.personas)).all()
        assert ((seen >= 0).sum(axis=1) <= ATTENTION).all()
        for field in set(range(len(FIELD_NAMES))) - {news}:
            shown = seen[:, field][seen[:, field] >= 0]
            assert (shown == day[field]).all()
            assert 0.3 < len(shown) / len(views) < 0.8


def test_prompts_are_the_tokens_of_their_text(subject, questions):
    from evobourse.experiments.benchmarks.minds.subject import render_in_words

    rules = len(subject.tokens(render_rules()))
    lengths = [len(question.private) for question in questions]
    assert np.mean(lengths) == pytest.approx(24, abs=2)
    for question in questions[:20]:
        whole = subject.tokenizer.decode(question.prompt.tokens)
        assert subject.tokens(whole) == tuple(question.prompt.tokens)
        assert len(question.prompt.shared) == rules
    assert "crashing" not in "".join(render_in_words(0))


def test_every_way_of_answering_gives_the_same_answers(subject, population, questions):
    from evobourse.experiments.benchmarks.minds.ladder import Ladder

    ladder = Ladder(subject.fresh_engine(), population)
    asked = [*questions[:2], questions[0]]
    expected = ladder.whole_prompts(asked)
    assert len(np.unique(expected, axis=0)) > 1
    np.testing.assert_array_equal(ladder.with_prefix(asked), expected)
    np.testing.assert_array_equal(ladder.in_batches(asked), expected)
    np.testing.assert_array_equal(ladder.distinct(asked), expected)
    np.testing.assert_array_equal(ladder.distinct(asked, trunk=True), expected)
    np.testing.assert_array_equal(ladder.by_engine(asked), expected)  # cut elsewhere, too
    assert ladder.engine.counters.computed == len(set(asked))


def test_peers_and_a_fresh_engine_take_turns(subject, population, questions, monkeypatch):
    from evobourse.experiments.benchmarks.minds import ladder as minds_ladder

    peer, ask, asked, counters = minds_ladder.peer_rung, minds_ladder.Ladder.by_engine, [], []

    def watched_peer(subject, some, agents):
        asked.append((some, agents))
        return peer(subject, some, agents)

    def watched_engine(ladder, whole):
        answers = ask(ladder, whole)
        counters.append((len(whole), ladder.engine.counters.computed))
        return answers

    monkeypatch.setattr(minds_ladder, "peer_rung", watched_peer)
    monkeypatch.setattr(minds_ladder.Ladder, "by_engine", watched_engine)
    some = questions[:5]
    peers, own = minds_ladder.side_by_side(subject, population, some, 2, 3, lambda _: None)
    assert asked == [(some[:2], 5), (some[2:4], 5), ([some[4], some[0]], 5)]
    assert counters == [(5, len(set(some)))] * 3  # all of the morning, and nothing was known
    assert peers.shape == own.shape == (3,)
    assert (np.minimum(peers, own) > 0).all()


def test_the_oracle_of_fidelity_is_near_and_tells_styles_apart(subject):
    from evobourse.experiments.benchmarks.minds.fidelity import measure_fidelity
    from evobourse.experiments.benchmarks.minds.subject import real_views

    prompts = [subject.engine.view_prompt(int(view)) for view in real_views(subject, 3)[:8]]
    style = np.eye(3, dtype=np.float32)[0]
    rows = measure_fidelity(subject, {"bare": 0 * style, "style": style}, prompts)
    for row in rows:
        assert 0 < row.mean < 0.03
        assert 0 < row.mean_bf16 < 0.05
    assert rows[1].correlation > 0.98


def test_total_variation_and_correlation_of_known_choices():
    from evobourse.experiments.benchmarks.minds.fidelity import compare

    ours = np.array([[0.5, 0, 0.5, 0, 0], [0, 0, 0, 0, 1.0]])
    exact = np.array([[0.25, 0.25, 0.5, 0, 0], [0, 0, 0, 0.5, 0.5]])
    found = compare("known", ours, np.roll(ours, 1, axis=0), exact)
    assert (found.mean, found.worst, found.mean_bf16) == (0.375, 0.5, 1.0)
    assert found.correlation == pytest.approx(1.0)


def test_bytes_are_counted_once(subject):
    from evobourse.experiments.benchmarks.minds.fidelity import bytes_per_weight

    decoder, whole = bytes_per_weight(subject.engine)
    assert decoder == 1 + 2 / 64
    # The tied embedding stays in fp32: 49,152 x 576 of 134.5 million parameters.
    assert whole == pytest.approx((106.2e6 * decoder + 28.3e6 * 4) / 134.5e6, rel=0.01)


def test_shares_of_a_profile_add_up(subject, monkeypatch):
    from evobourse.experiments.benchmarks.minds import machine as minds_machine

    monkeypatch.setattr(minds_machine, "ROWS", 4)
    shares = minds_machine.profile_shares(subject)
    assert sum(shares.values()) == pytest.approx(1)
    assert {"adapters", "attention", "norms, rounded to INT16"} < set(shares)
    assert shares["matrix products with weights"] > 0.4


def test_the_plot_shows_what_it_was_given():
    from evobourse.experiments.benchmarks.minds.agents import MarketTime, plot_distinct_work

    times = [MarketTime(n, 20, 3.0 + n / 1e6, n / 1e5, 3552) for n in (100, 1000, 10_000)]
    ax = plot_distinct_work(times, peer_decisions_per_second=4.0)
    drawn = {line.get_label(): line.get_ydata() for line in ax.lines}
    np.testing.assert_allclose(drawn["this engine's minds"], [t.model_seconds for t in times])
    np.testing.assert_allclose(drawn["one full prompt per agent (scaled)"], [500, 5_000, 50_000])
    assert "3,552" in ax.get_title()

"""Dated news against real days: what is seen, what is asked, what is measured, and the page."""

from pathlib import Path

import numpy as np
import pytest

from evobourse.agents.minds.news_reading import read_news
from evobourse.agents.observation import FIELD_NAMES, HISTORY_DAYS, decode_view
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.studies.news import study
from evobourse.experiments.studies.news.measures import agree, sign_flip_p
from evobourse.experiments.studies.news.readings import (
    ask_minds,
    exchange,
    see_days,
    unbiased,
)
from evobourse.experiments.studies.run import run_study
from evobourse.market.events.dated_news import DatedNews
from evobourse.market.series.prices import PriceSeries
from tests.agents.mixtures import one_hot

TEXTS = ("A port closes.", "A bank opens.", "Rain.", "The rate was cut.", "A war has ended.")


# What is seen


def test_a_day_shows_what_was_known_before_its_open_alone(sp500):
    day = 1000
    facts = [DatedNews(day, "A."), DatedNews(3, "Too early."), DatedNews(day, "B.", False)]
    seen = see_days([*facts, DatedNews(2000, "C.")], sp500)
    assert seen.day.tolist() == [day, 2000]
    assert seen.texts == ("A. B.", "C.")
    assert seen.overnight.tolist() == [False, True]
    news = FIELD_NAMES.index("news")
    levels = decode_view(seen.views)
    assert (levels[:, news] == -1).all()
    assert (np.delete(levels, news, axis=1) >= 0).all()
    returns = np.diff(np.log(sp500.close[: day + 1]))
    spread = np.sqrt(np.mean(returns[-21:-1] ** 2))
    assert seen.move[0] == pytest.approx(returns[-1] / spread)
    assert seen.before[0] == pytest.approx(returns[-2] / spread)

    close = sp500.close.copy()
    close[day:] *= 0.5  # the day itself and all that follow
    volume = sp500.volume.copy()
    volume[day:] *= 7
    prices = [close] * 4
    other = PriceSeries("other", sp500.dates, *prices, volume)
    again = see_days(facts, other)
    assert again.views[0] == seen.views[0]
    assert again.before[0] == pytest.approx(seen.before[0])
    assert again.move[0] < -5


def test_days_without_a_year_before_them_are_left_out(sp500):
    facts = [DatedNews(HISTORY_DAYS - 1, "A."), DatedNews(HISTORY_DAYS, "B.")]
    assert see_days(facts, sp500).texts == ("B.",)
    assert see_days(facts[:1], sp500).texts == ()


# What is asked


def test_exchanged_sentences_are_of_the_same_group_and_never_ones_own():
    groups = [np.arange(0, 7), np.arange(7, 9), np.arange(9, 30), np.zeros(0, np.int64)]
    for seed in range(20):
        other = exchange(groups, np.random.default_rng(seed))
        assert (other != np.arange(30)).all()
        for rows in groups:
            assert sorted(other[rows]) == rows.tolist()


@pytest.fixture(scope="module")
def shallow(fresh_engine):
    """Three layers of the real model."""
    from evobourse.merge.engine.decoder import Parts

    engine = fresh_engine()
    own = engine.decoder.parts
    engine.decoder.run_on(Parts(own.embedding, own.slots[27:], own.norm, own.head))
    return engine


def test_every_arm_is_what_it_says(shallow, sp500):
    days = see_days([DatedNews(600 + 50 * at, text) for at, text in enumerate(TEXTS)], sp500)
    minds = [np.zeros((1, 3), np.float32), one_hot(1)]
    other = np.array([2, 0, 3, 4, 1])
    logits = ask_minds(shallow, minds, days, [other], lambda: None)
    views, swapped = days.views.tolist(), [TEXTS[at] for at in other]
    arms = [(TEXTS, views), ([""] * 5, views), (TEXTS, [0] * 5), (swapped, views)]
    for found, (texts, seen) in zip(logits, arms, strict=True):
        np.testing.assert_array_equal(found, read_news(shallow, minds, texts, seen))


def test_what_a_mind_gives_to_one_side_is_taken_off_by_the_days_named_alone():
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(2, 3, 8, 5))
    by = np.arange(8) < 4
    tilt = rng.normal(size=(2, 3, 1, 5))
    tilt -= tilt[..., ::-1]  # a lean to one side, which a mind has in all its answers
    np.testing.assert_allclose(unbiased(logits + tilt, by), unbiased(logits, by))
    changed = logits.copy()
    changed[:, :, 4:] += 1.0
    np.testing.assert_allclose(unbiased(changed, by)[:, :, :4], unbiased(logits, by)[:, :, :4])
    mean = unbiased(logits, by)[:, :, by].mean(axis=2)
    np.testing.assert_allclose(mean, mean[..., ::-1])


# What is measured


def test_leanings_that_know_the_move_are_told_from_those_that_do_not():
    rng = np.random.default_rng(3)
    move = rng.normal(size=80)
    knows = agree(move + 0.5 * rng.normal(size=80), move)
    assert knows.signs[1] > 0.5
    assert knows.ranks[1] > 0.5
    assert knows.p_value < 0.001
    exact = agree(move / 2, move)
    assert exact.signs == (1.0, 1.0, 1.0)
    assert exact.slope == pytest.approx((2.0, 2.0, 2.0))
    assert exact.ranks[0] == pytest.approx(1.0)
    assert exact.size[0] == pytest.approx(1.0)
    opposite = agree(-move, move)
    assert (opposite.signs[0], opposite.ranks[0]) == (0.0, pytest.approx(-1.0))
    nothing = agree(np.zeros(80), move)
    assert (nothing.right == 0.5).all()
    assert np.isnan(nothing.p_value)


def test_chance_is_called_chance_as_often_as_it_says():
    found = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        found.append(agree(rng.normal(size=40), rng.standard_t(3, size=40)).p_value)
    assert 0.01 <= np.mean(np.array(found) < 0.05) <= 0.10  # binomial, 99.9 % of 200 at 5 %


def test_a_gain_of_pairs_has_the_p_value_of_exchanging_the_two_of_each():
    assert np.isnan(sign_flip_p(np.zeros(9)))
    # ten pairs all of one sign: 2 of the 1,024 ways to exchange them are as extreme
    assert sign_flip_p(np.ones(10)) == pytest.approx(2 / 1024, abs=0.0015)
    assert sign_flip_p(np.array([1.0, -1.0])) == pytest.approx(1.0)


# The page


@pytest.fixture
def small(opened, shallow, style_folders, population, monkeypatch):
    """A population of two personas on three layers of the real model."""
    from dataclasses import replace

    who = population([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]], attention=2)
    bundle = replace(opened.bundle, population=who, adapters=tuple(style_folders.values()))
    here = replace(opened, bundle=bundle, minds=shallow)
    monkeypatch.setattr(study, "open_population", lambda place, overrides: here)


def write(folder: Path, sp500, days) -> str:
    lines = [f"{sp500.dates[day]},{TEXTS[day % 5]}\n" for day in days]
    (folder / "news.csv").write_text("date,text\n" + "".join(lines))
    return f"news={folder / 'news.csv'}"


def test_the_page_holds_every_reader_on_every_stretch(small, sp500, tmp_path, style_folders):
    held = range(3100, 3500, 19)
    news = write(tmp_path, sp500, [*range(300, 500, 9), *held])
    page, *_ = run_study("news", [news], tmp_path / "n.md")
    text = page.read_text()
    for head in ("## Training: 23 days", f"## Held-out: {len(held)} days", "**Contamination.**"):
        assert head in text
    assert "## Validation" not in text
    for who in ("the bare base", *style_folders, "the population's mean", "dice", "always buy"):
        assert text.count(f"| {who} |") == (2 if who == "always buy" else 4)
    again, *_ = run_study("news", [news], tmp_path / "n.md")
    assert again.read_text() == text


def test_news_outside_all_splits_is_one_stretch_and_too_little_is_refused(
    small, sp500, tmp_path, monkeypatch
):
    days = see_days([DatedNews(2020 + at, "A.") for at in range(25)], sp500)  # January 2007 on
    assert [*study.stretches(days, sp500)] == ["all"]
    with pytest.raises(ConfigError, match=r"news: 3 days .* expected 20 at least"):
        run_study("news", [write(tmp_path, sp500, (300, 301, 302))], tmp_path / "n.md")

"""Gambles, the order of options and temperature, on respondents whose answers are known."""

import numpy as np
import pytest
import torch

from evobourse.agents.crowds.persona_crowd import history_ticks
from evobourse.agents.minds.stand_ins import TeacherMinds
from evobourse.agents.observation import CUE, OPTIONS, TENDENCIES, render_rules
from evobourse.evolve.bundle import Bundle
from evobourse.evolve.markets import World
from evobourse.experiments.studies.people.gambles import (
    FRAMES,
    Respondent,
    majority,
    question_respondents,
)
from evobourse.experiments.studies.people.option_order import (
    AVERAGED,
    ORDERS,
    ask_in_orders,
    measure_corrections,
)
from evobourse.experiments.studies.people.page import (
    gamble_rows,
    gamble_table,
    heat_table,
    item_table,
    letter_table,
    order_table,
    tell,
)
from evobourse.experiments.studies.people.temperature import Heat, heat, measure_heat
from evobourse.fitness.behaviour.prospect import QUESTION, items
from evobourse.market.rules import MarketRules

NOBODY = np.zeros((1, 3), np.float32)
NONE = "none"
EMPTY = "empty view's logits subtracted"


class Told:
    """Answers texts by a function from the text to two logits, as an engine does prompts."""

    def __init__(self, answer):
        self.answer = answer

    def text_prompt(self, shared, *steps):
        return "".join([shared, *steps])

    def ask_prompts(self, mind, prompts):
        pass

    def answer_prompts(self, mind, prompts):
        return np.array([[*self.answer(p), 0.0, 0.0, 0.0] for p in prompts], np.float32)


def people(text):
    """Answer as the people of 1979 did."""
    shares = {item.options: item.people_a for item in items()}
    shares |= {item.options[::-1]: 1 - item.people_a for item in items()}
    share = shares[_offered(text)]
    return np.log(share), np.log(1 - share)


def _offered(text):
    first, second = text.split(f"{OPTIONS[0]}: ")[1].split(f".{OPTIONS[1]}: ")
    return first, second.removesuffix(f".{CUE}")


def test_who_answers_as_people_agrees_on_every_item():
    respondents = [
        Respondent("people", "p", NOBODY, "A profile."),
        Respondent("people", "q", NOBODY),
    ]
    for frame in FRAMES:
        for answers in question_respondents(Told(people), respondents, frame):
            assert answers.overall.agreed == 17
            assert answers.share_a == pytest.approx([item.people_a for item in items()], abs=1e-5)


def test_who_likes_the_first_letter_is_undecided_and_loses_a_majority_to_nobody():
    biased = question_respondents(Told(lambda text: (3.0, 0.0)), [Respondent("k", "a", NOBODY)], "")
    as_people = question_respondents(Told(people), [Respondent("k", "b", NOBODY)], "")
    assert biased[0].overall.undecided == 17
    assert majority(biased, [1.0]) == (0, 0, 17)
    assert majority([*biased, *as_people], [0.9, 0.1]) == (17, 7, 0)


def test_a_profile_stands_before_the_frame_and_the_question_after_it():
    seen = []
    told = Told(lambda text: (seen.append(text), (0.0, 0.0))[1])
    question_respondents(told, [Respondent("k", "a", NOBODY, "You are careful.")], FRAMES[0])
    assert all(text.startswith(f"You are careful. {FRAMES[0]} {QUESTION}") for text in seen)
    assert len(set(seen)) == 34


def test_the_model_is_asked_what_transformers_would_be(style_engine, rounded_model, tokenizer):
    [answers] = question_respondents(style_engine, [Respondent("k", "bare", NOBODY)], FRAMES[0])
    item, swapped = items()[2], []
    for options in (item.options, item.options[::-1]):
        offered = "".join(f"{o}: {text}." for o, text in zip(OPTIONS, options, strict=False))
        text = f"{FRAMES[0]}\nToday: {QUESTION}{offered}{CUE}"
        with torch.inference_mode():
            ids = torch.tensor([tokenizer(text, add_special_tokens=False).input_ids])
            logits = rounded_model(input_ids=ids).logits[0, -1, style_engine.options[:2]]
        swapped.append(torch.softmax(logits, 0)[0].item())
    # The engine multiplies in bf16, the oracle in fp32.
    assert answers.share_a[2] == pytest.approx((swapped[0] + 1 - swapped[1]) / 2, abs=0.03)


def test_rows_hold_every_respondent_and_the_majority_of_several(report, told):
    pair = [Respondent("pair", "a", NOBODY), Respondent("pair", "b", NOBODY)]
    asked = question_respondents(Told(people), [Respondent("alone", "c", NOBODY), *pair], "")
    alone, *both = [[answers] * len(FRAMES) for answers in asked]
    gambles = {
        "alone": [(Respondent("alone", "c", NOBODY), alone)],
        "pair": list(zip(pair, both, strict=True)),
    }
    rows = list(gamble_rows(gambles))
    assert [(row[0], row[1]) for row in rows] == [
        ("alone", "c"),
        ("pair", "a"),
        ("pair", "b"),
        ("pair", "their majority"),
    ]
    assert all(row[2] == [17] * len(FRAMES) and row[4] == [0] * len(FRAMES) for row in rows)
    assert gamble_table(gambles).count("| 17 | 17 | 17 |") == 4
    assert item_table(gambles).count("\n") == 18
    orders = {"bare": measure_corrections(by_letter(np.arange(5.0)), np.zeros((10, 1, 5)))}
    ones = np.ones(2)
    heats = {"evolved": [Heat(f, f * ones, ones, ones, 1.0, 1.0) for f in (1.0, 2.0)]}
    tell(gambles, orders, heats, report)
    figures = {figure["figure"]: figure for figure in told()}
    assert figures["items of 17 as people, pair: a"]["ratio"] == 2.0
    assert figures["moved by the order, bare, none"]["ratio"] == 1.0
    assert figures["turnover, evolved, temperature x2"]["ratio"] == 2.0
    assert len(order_table(orders).splitlines()) == 2 + 5
    assert (
        len(letter_table(orders).splitlines()) == len(heat_table(heats["evolved"]).splitlines()) - 1
    )


# The order of options


def by_letter(letters):
    """Logits by tendency of who only likes letters, [10, n, 5]."""
    out = np.empty((len(ORDERS), 7, 5))
    for k, order in enumerate(ORDERS):
        out[k][:, list(order)] = letters
    return out


def test_each_half_of_the_orders_gives_every_tendency_every_letter_once():
    for half in (ORDERS[:5], ORDERS[5:]):
        for tendency in range(5):
            assert sorted(order.index(tendency) for order in half) == list(range(5))
    assert len(set(ORDERS)) == 10
    assert ORDERS[0] == (0, 1, 2, 3, 4)


def test_love_of_letters_is_found_and_taken_away_by_what_knows_no_view():
    letters = np.array([2.0, 1.0, 0.0, -1.0, 0.0])
    logits = by_letter(letters)
    found = measure_corrections(logits, logits[:, :1])
    weights = np.exp(letters) / np.exp(letters).sum()
    assert found[NONE].letters == pytest.approx(weights)
    # By hand: the mean over pairs of orders of half the summed differences.
    rolled = [np.roll(weights, k) for k in range(5)]
    rolled += [np.roll(weights[::-1], k) for k in range(5)]
    apart = [abs(a - b).sum() / 2 for k, a in enumerate(rolled) for b in rolled[k + 1 :]]
    assert found[NONE].between == pytest.approx(np.mean(apart))
    assert np.isnan(found[NONE].same_content)
    for name in (EMPTY, "mean over views subtracted", AVERAGED):
        assert found[name].between == pytest.approx(0, abs=1e-12)
        assert found[name].lean == pytest.approx(0, abs=1e-12)
    half = found["its antisymmetric part alone, as in the market"]
    assert half.lean == pytest.approx(0, abs=1e-12)
    assert 0 < half.between < found[NONE].between


def test_who_reads_signs_and_follows_letters_alone_has_minus_a_ninth():
    letters = np.random.default_rng(3).normal(size=(7, 5))
    logits = np.empty((len(ORDERS), 7, 5))
    for k, order in enumerate(ORDERS):
        logits[k][:, list(order)] = letters
    found = measure_corrections(logits, np.zeros((len(ORDERS), 1, 5)))
    assert found[NONE].same_content == pytest.approx(-1 / 9, abs=0.05)
    assert found[NONE].between > 0.2


def test_who_reads_what_letters_stand_for_is_moved_by_no_order():
    rng = np.random.default_rng(5)
    content = np.tile(rng.normal(size=(7, 5)), (len(ORDERS), 1, 1))
    found = measure_corrections(content, np.zeros((len(ORDERS), 1, 5)))
    for name in (NONE, EMPTY, AVERAGED):
        assert found[name].between == pytest.approx(0, abs=1e-12)
        assert found[name].same_content == pytest.approx(1)
    assert found[NONE].letters == pytest.approx([0.2] * 5, abs=1e-12)


def test_the_usual_order_is_the_markets_own_question(style_engine, market_views):
    views = market_views[:4]
    mind = np.array([[1.0, 0.0, 0.0]], np.float32)
    asked = ask_in_orders(style_engine, mind, views)
    np.testing.assert_array_equal(asked[0], style_engine.answer(mind, views))
    assert not np.allclose(asked[0], asked[1])
    turned = render_rules([TENDENCIES[t] for t in ORDERS[1]])
    assert turned.endswith("A sell, B hold, C buy, D strong buy, E strong sell.")


# Temperature


def test_heat_spreads_choices_and_keeps_what_they_lean_to(population, offsets, sp500):
    nothing = dict.fromkeys(Bundle.__dataclass_fields__)
    bundle = Bundle(**{**nothing, "history": history_ticks(sp500.close[:1000])})
    cast = population([[0.0, 1.0], [1.0, 0.0]], attention=2)
    minds, world = TeacherMinds(("momentum", "news-driven")), World(offsets, MarketRules(), 60, 60)
    own, hot, boiling = measure_heat(bundle, cast, minds, (1.0, 4.0, 1e6), world, 2)
    assert (own.core, own.same_side) == (pytest.approx(1), 1)
    assert 0.5 < hot.core <= 1
    assert hot.same_side == 1
    # At the highest temperature nothing is left but five equal chances, four of them to act.
    assert boiling.acting == pytest.approx([0.8, 0.8], abs=0.02)
    assert boiling.turnover.shape == (2,)
    assert (boiling.turnover > 0).all()
    again = measure_heat(bundle, cast, minds, (1.0,), world, 2)
    np.testing.assert_array_equal(again[0].turnover, own.turnover)
    assert [p.temperature for p in heat(cast, 2.0).personas] == [
        2 * p.temperature for p in cast.personas
    ]

"""The questionnaire against respondents whose answers are known on paper."""

import csv
import re
from math import comb
from pathlib import Path

import numpy as np
import pytest

from evobourse.fitness.behaviour.prospect import QUESTION, ask, items
from evobourse.fitness.errors import FitnessError

NUMBER = r"(\d+)"


def gamble(text):
    """Read an option as [(outcome, probability)]; what was given before the choice is left out."""
    first = 0.25 if text.startswith("two stages: a 25% chance") else 1.0
    text = text.split("there ")[-1].split("given: ")[-1]
    if sure := re.fullmatch(r"(lose )?" + NUMBER + " for sure", text):
        return [((-1 if sure[1] else 1) * int(sure[2]), first)]
    found = re.findall(r"(lose )?" + NUMBER + r" with probability (\.\d+)", text)
    return [((-1 if lose else 1) * int(x), first * float(p)) for lose, x, p in found]


def expected_value(text):
    return sum(x * p for x, p in gamble(text))


def tversky_kahneman(text):
    """Cumulative prospect theory with the median parameters of 1992, by its definition."""

    def weight(p, gamma):
        return p**gamma / (p**gamma + (1 - p) ** gamma) ** (1 / gamma)

    total = 0.0
    for sign, gamma, scale in ((1, 0.61, 1.0), (-1, 0.69, -2.25)):
        side = sorted(((abs(x), p) for x, p in gamble(text) if sign * x > 0), reverse=True)
        above = 0.0  # probability of what is better, or for losses worse
        for size, p in side:
            decision = weight(min(above + p, 1.0), gamma) - weight(above, gamma)
            total += scale * size**0.88 * decision
            above += p
    return total


def maximiser(value):
    def respond(question, options):
        assert question == QUESTION
        first, second = map(value, options)
        if abs(first - second) <= 1e-9 * max(abs(first), abs(second)):
            return (0.5, 0.5)
        return int(second > first)

    return respond


def test_the_items_are_those_of_the_paper():
    path = Path(__file__).parents[3] / "fitness" / "behaviour" / "prospect_theory_1979.csv"
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert [item.problem for item in items()] == [row["problem"] for row in rows]
    assert len(items()) == 17
    assert sum(item.domain == "negative" for item in items()) == 7
    for item in items():
        for option in item.options:
            # nothing unsaid: the probabilities of what is named never exceed one
            assert 0 < sum(p for _, p in gamble(option)) <= 1
    ps = {row["problem"]: int(row["percent_a"]) + int(row["percent_b"]) for row in rows}
    assert set(ps.values()) == {100}


def test_people_themselves_agree_with_people(rng):
    majority = {item.options: item.people_a for item in items()}

    def people(question, options):
        share = majority.get(options, 1 - majority.get(options[::-1], 0.0))
        return (share, 1 - share)

    found = ask(people, rng)
    assert found.share_a == pytest.approx([item.people_a for item in items()])
    assert (found.overall.agreed, found.gains.agreed, found.losses.agreed) == (17, 10, 7)
    assert found.overall.p_value == pytest.approx(2**-17)
    assert found.losses.p_value == pytest.approx(2**-7)


def test_an_expected_value_maximiser_agrees_on_three_and_is_indifferent_on_ten(rng):
    # By hand: problems 1, 2, 3, 4, 10, 3' and 4' have a better option; people take it in 2, 4, 4'.
    found = ask(maximiser(expected_value), rng)
    decided = [i.problem for i, s in zip(items(), found.share_a, strict=True) if s != 0.5]
    assert decided == ["1", "2", "3", "4", "3'", "4'", "10"]
    assert (found.overall.agreed, found.overall.undecided) == (3, 10)
    assert (found.gains.agreed, found.gains.undecided) == (2, 5)
    assert (found.losses.agreed, found.losses.undecided) == (1, 5)
    at_least_3 = sum(comb(17, k) for k in range(3, 18)) / 2**17
    assert found.overall.p_value == pytest.approx(at_least_3)


def test_prospect_theory_of_1992_agrees_on_all_but_five_of_the_items_of_1979(rng):
    # Its median parameters are of other people and other gambles. By hand for problem 7, in units
    # of v(3000): 2^.88 w(.45) = 1.840 * .3952 = .727 over w(.90) = .712, where 86 % disagree.
    found = ask(maximiser(tversky_kahneman), rng)
    other = [
        item.problem
        for item, share in zip(items(), found.share_a, strict=True)
        if (share > 0.5) != (item.people_a > 0.5)
    ]
    assert other == ["7", "7'", "10", "13", "13'"]
    assert (found.overall.agreed, found.overall.undecided) == (12, 0)
    assert (found.gains.agreed, found.losses.agreed) == (7, 5)
    at_least_12 = sum(comb(17, k) for k in range(12, 18)) / 2**17
    assert found.overall.p_value == pytest.approx(at_least_12)


def test_a_coin_agrees_by_chance(rng):
    found = [ask(lambda *_: int(rng.integers(2)), rng, repeats=1) for _ in range(300)]
    agreed = np.array([each.overall.agreed for each in found])
    assert agreed.mean() == pytest.approx(8.5, abs=4 * np.sqrt(17 / 4 / 300))
    rejected = np.mean([each.overall.p_value <= 0.05 for each in found])
    assert rejected <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / 300)
    assert all(each.overall.undecided == 0 for each in found)


def test_who_always_takes_the_first_option_shown_is_undecided(rng):
    for biased in (lambda *_: 0, lambda *_: (0.9, 0.1)):
        found = ask(biased, rng)
        assert set(found.share_a) == {0.5}
        assert (found.overall.agreed, found.overall.undecided) == (0, 17)
        assert found.overall.p_value == 1.0


def test_which_order_comes_first_is_random_and_the_seeds_own():
    orders = [
        ask(lambda *_: 0, np.random.default_rng(seed), repeats=1).share_a
        for seed in (1, 1, *range(200))
    ]
    assert orders[0] == orders[1]
    np.testing.assert_allclose(np.mean(orders[2:], axis=0), 0.5, atol=4 * 0.5 / np.sqrt(200))


@pytest.mark.parametrize("answer", [2, -1, (0.2, 0.3, 0.5), (0.0, 0.0), (np.nan, 1.0), (-1, 2)])
def test_no_answer_is_refused(answer, rng):
    with pytest.raises(FitnessError, match="problem 1: the answer is"):
        ask(lambda *_: answer, rng)


def test_it_must_be_asked(rng):
    with pytest.raises(FitnessError, match="repeats=0"):
        ask(lambda *_: 0, rng, repeats=0)

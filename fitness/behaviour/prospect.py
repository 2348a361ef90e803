"""The prospect-theory questionnaire: which of two gambles a respondent takes, beside people.

References
----------
Kahneman and Tversky (1979), Prospect theory: an analysis of decision under risk, Econometrica
47(2), 263-291, doi:10.2307/1914185: problems, percentages and numbers of people in
``prospect_theory_1979.csv``. Problems 5, 6, 9 and their like (holidays, insurance) are left out:
they have no sums of money on both sides.
"""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from scipy.stats import binomtest

from evobourse.fitness.errors import FitnessError

QUESTION = "Which of the two would you choose?"

SMALLEST_LEAN = 1e-9
"""A share this close to one half is no choice: rounding of answers that add up to a tie."""

Respondent = Callable[[str, tuple[str, str]], Sequence[float] | int]
"""From a question and two options, in the order shown, to the chosen one's index (0 or 1) or to
both options' probabilities, which are scaled to sum to 1."""


@dataclass(frozen=True)
class Item:
    """A choice of the questionnaire and how people made it.

    Parameters
    ----------
    problem : str
        Number in the paper.
    options : tuple of str
        Options A and B.
    people_a : float
        Share of people who chose A, 0 to 1.
    people : int
        How many were asked.
    domain : {"positive", "negative"}
        Whether the outcomes are gains or losses.
    """

    problem: str
    options: tuple[str, str]
    people_a: float
    people: int
    domain: Literal["positive", "negative"]


@dataclass(frozen=True)
class Agreement:
    """How many majority choices were those of people.

    Parameters
    ----------
    agreed, items, undecided : int
        Items on which the respondent's majority is people's, all items, and those without a
        majority, which count as not agreed.
    p_value : float
        Chance that tossing a coin at each item agrees at least as often, exact.
    """

    agreed: int
    items: int
    undecided: int
    p_value: float


@dataclass(frozen=True)
class Answers:
    """A respondent's questionnaire.

    Parameters
    ----------
    share_a : tuple of float
        Mean probability of option A, one an item, in the order of `items`.
    overall, gains, losses : Agreement
        On all items, and on those of positive and of negative outcomes.
    """

    share_a: tuple[float, ...]
    overall: Agreement
    gains: Agreement
    losses: Agreement


@cache
def items() -> tuple[Item, ...]:
    """Read the seventeen items, in the order of the file."""
    with Path(__file__).with_name("prospect_theory_1979.csv").open(encoding="utf-8") as file:
        return tuple(
            Item(
                row["problem"],
                (row["option_a"], row["option_b"]),
                int(row["percent_a"]) / 100,
                int(row["n"]),
                "positive" if row["domain"] == "positive" else "negative",
            )
            for row in csv.DictReader(file)
        )


def ask(respondent: Respondent, rng: np.random.Generator, repeats: int = 2) -> Answers:
    """Put every item to a respondent and hold its majority choices against people's.

    Parameters
    ----------
    respondent : Respondent
        Whoever answers. A model gives the probabilities of its two options.
    rng : numpy.random.Generator
        Decides which option is shown first the first time; then the order alternates.
    repeats : int
        Times that each item is asked. An even number shows both orders as often: models prefer
        first options, and one that prefers nothing else is then undecided.

    Returns
    -------
    Answers

    Raises
    ------
    FitnessError
        If an answer is no choice or no pair of probabilities, or `repeats` is under 1.
    """
    if repeats < 1:
        raise FitnessError(f"repeats={repeats}: expected 1 or more")
    shares = []
    for item in items():
        orders = (rng.integers(2) + np.arange(repeats)) % 2
        asked = [_probability_of_a(respondent, item, int(swapped)) for swapped in orders]
        shares.append(float(np.mean(asked)))
    return Answers(
        tuple(shares),
        _agreement(shares, ("positive", "negative")),
        _agreement(shares, ("positive",)),
        _agreement(shares, ("negative",)),
    )


def _probability_of_a(respondent: Respondent, item: Item, swapped: int) -> float:
    shown = (item.options[swapped], item.options[1 - swapped])
    answer = respondent(QUESTION, shown)
    if isinstance(answer, (int, np.integer)) and answer in (0, 1):
        return float(answer == swapped)
    given = np.asarray(answer, np.float64)
    if given.shape != (2,) or not np.isfinite(given).all() or given.min() < 0 or not given.any():
        raise FitnessError(
            f"problem {item.problem}: the answer is {answer!r}, expected 0, 1 or two probabilities"
        )
    return float(given[swapped] / given.sum())


def _agreement(shares: Sequence[float], domains: tuple[str, ...]) -> Agreement:
    asked = [(s, item) for s, item in zip(shares, items(), strict=True) if item.domain in domains]
    leans = [(s - 0.5, item.people_a > 0.5) for s, item in asked]
    undecided = sum(abs(lean) <= SMALLEST_LEAN for lean, _ in leans)
    agreed = sum(abs(lean) > SMALLEST_LEAN and (lean > 0) == a for lean, a in leans)
    p_value = float(binomtest(agreed, len(asked), 0.5, alternative="greater").pvalue)
    return Agreement(agreed, len(asked), undecided, p_value)

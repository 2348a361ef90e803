"""Measures of a market's behaviour against cases whose value is known."""

import numpy as np
import pytest

from evobourse.agents.minds.choices import tabulate_choices
from evobourse.agents.minds.stand_ins import RandomMinds
from evobourse.agents.observation import possible_views
from evobourse.evolve.measures import MEASURES, Played, measure


class Decided:
    """Minds that choose one option whatever they see, each the one of its coefficient."""

    def ask(self, mind, views):
        """Nothing to prepare."""

    def answer(self, mind, views):
        logits = np.full((len(views), 5), -200.0, np.float32)
        logits[np.arange(len(views)), (np.arange(len(views)) + int(mind[0, 0])) % 5] = 0.0
        return logits


def played(population, minds=None, returns=None, real=None):
    some = np.random.default_rng(0).normal(0.0, 0.01, (3, 250))
    returns = some if returns is None else returns
    [choices] = tabulate_choices([population], minds or RandomMinds())
    return Played(population, choices, returns, returns if real is None else real)


def test_volatility_is_of_a_year(population):
    returns = np.array([[0.01, -0.01] * 50, [0.03, -0.03] * 50])
    who = played(population(((1.0,),)), returns=returns)
    assert MEASURES["volatility"](who) == pytest.approx(0.02 * np.sqrt(252))


@pytest.mark.parametrize(("mixtures", "expected"), [(((0.0,),) * 3, 1.0), (((0.0,), (1.0,)), None)])
def test_diversity_counts_distinct_investors(population, mixtures, expected):
    people = population(mixtures)
    share = np.array([p.share for p in people.personas]) / sum(p.share for p in people.personas)
    distinct = float(np.exp(-np.sum(share * np.log(share))))
    found = MEASURES["diversity"](played(people, Decided()))
    assert found == pytest.approx(expected or distinct, abs=1e-6)
    assert MEASURES["diversity"](played(people)) == pytest.approx(1.0)  # chance is all alike


def test_path_error_is_none_for_the_real_path_and_known_for_a_drift(population):
    real = np.random.default_rng(1).normal(0.0, 0.01, (2, 60))
    people = population(((1.0,),))
    assert MEASURES["path_error"](played(people, returns=real, real=real)) == 0.0
    drifted = real + 0.001
    prices, others = (np.exp(np.cumsum(r, axis=1)) for r in (real, drifted))
    expected = np.sqrt(((prices - others) ** 2).mean(axis=1)).mean()
    found = MEASURES["path_error"](played(people, returns=drifted, real=real))
    assert found == pytest.approx(expected)


def test_questions_grow_with_distinct_minds_alone(population):
    views = len(possible_views(3))
    for mixtures, minds in ((((1.0,),) * 4, 1), (((1.0,), (0.5,), (1.0,)), 2)):
        who = played(population(mixtures, attention=3))
        assert measure(("questions",), who) == {"questions": minds * views}

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evobourse.evolve.errors import EvolveError
from evobourse.evolve.searches.racing import race


class Noisy:
    """Candidates of known worth, seen through noise of each seed and of each pair."""

    def __init__(self, worth, entropy, noise=1.0):
        self.worth, self.entropy, self.noise, self.asked = worth, entropy, noise, []

    def evaluate(self, alive, seeds):
        self.asked += [(i, seed) for i in alive for seed in seeds]
        return [[self.result(i, seed) for seed in seeds] for i in alive]

    def result(self, i, seed):
        shared = np.random.default_rng((self.entropy, seed)).normal()
        own = np.random.default_rng((self.entropy, seed, i)).normal()
        return self.worth[i] + 2.0 * shared + self.noise * own

    def full(self, i, seeds):
        return float(np.mean([self.result(i, seed) for seed in seeds]))


def score(results):
    return float(np.mean(results)) if np.isfinite(results).all() else np.inf


@given(
    st.integers(1, 20),
    st.lists(st.integers(1, 11), unique=True, max_size=3),
    st.floats(0.05, 1.0),
    st.integers(0, 10**6),
)
def test_finishers_score_as_without_a_race_and_nobody_passes_them(count, rungs, keep, entropy):
    judge = Noisy(np.random.default_rng(entropy).normal(size=count), entropy)
    seeds = list(range(12))
    run = race(judge.evaluate, score, count, seeds, sorted(rungs), keep)
    assert run.finished.any()
    for i in range(count):
        if run.finished[i]:
            assert run.scores[i] == judge.full(i, seeds)
            assert len(run.results[i]) == 12
        else:
            assert run.scores[i] >= run.scores[run.finished].max()
            assert run.results[i] == [judge.result(i, s) for s in seeds[: len(run.results[i])]]
    assert len(judge.asked) == len(set(judge.asked)) == 12 * count - run.saved
    if not rungs:
        assert run.saved == 0
        assert run.finished.all()


def test_halving_saves_what_it_should():
    judge = Noisy(np.arange(16.0), 0, noise=0.0)
    run = race(judge.evaluate, score, 16, range(8), [1, 2, 4])
    # 16 on one seed, 8 on one more, 4 on two more, 2 on the last four.
    assert 16 * 8 - run.saved == 16 + 8 + 8 + 8
    assert np.flatnonzero(run.finished).tolist() == [0, 1]
    assert run.scores.argmin() == 0


def test_the_winner_is_hardly_ever_another_on_a_noisy_function():
    """16 candidates on a noisy sphere of which 16 seeds see a good part; 100 races."""
    same, saved, lost = 0, 0, []
    seeds = range(16)
    for entropy in range(100):
        x = np.random.default_rng((1, entropy)).normal(size=(16, 5))
        worth = np.sum(x**2, axis=1)
        judge = Noisy(worth, entropy, noise=2.0)
        run = race(judge.evaluate, score, 16, seeds, [4, 8])
        full = np.array([judge.full(i, seeds) for i in range(16)])
        same += run.scores.argmin() == full.argmin()
        saved += run.saved
        lost.append(worth[run.scores.argmin()] - worth[full.argmin()])
    assert saved == 100 * 16 * 16 // 2
    assert same >= 95
    assert np.mean(lost) < 0.05


def test_failures_are_last_and_are_not_played_again():
    judge = Noisy(np.array([1.0, np.inf, 2.0, np.inf, 3.0]), 0, noise=0.0)
    run = race(judge.evaluate, score, 5, range(4), [1])
    assert np.isinf(run.scores).tolist() == [False, True, False, True, False]
    assert [len(r) for r in run.results] == [4, 1, 4, 1, 4]
    run = race(judge.evaluate, lambda results: np.inf, 5, range(4), [1])
    assert np.isinf(run.scores).all()
    assert not run.finished.any()
    assert run.saved == 5 * 3


def test_bad_rungs_are_refused():
    judge = Noisy(np.zeros(2), 0)
    for rungs, keep in (([0], 0.5), ([4], 0.5), ([2, 2], 0.5), ([3, 2], 0.5), ([1], 0), ([1], 2)):
        with pytest.raises(EvolveError, match="rungs must ascend within 1 to 3"):
            race(judge.evaluate, score, 2, range(4), rungs, keep)

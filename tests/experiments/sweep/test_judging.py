from functools import partial
from pathlib import Path

import numpy as np
import pytest

from evobourse import experiments
from evobourse.experiments.config.experiment import load_config
from evobourse.experiments.sweep import judging as scoreboard
from evobourse.experiments.sweep.judging import Judge, corrected
from evobourse.experiments.sweep.setup import build_experiment
from evobourse.fitness.baselines.calibration import calibrate_franke_westerhoff

QUICKSTART = Path(experiments.__file__).with_name("quickstart.yaml")


@pytest.fixture
def judge(monkeypatch):
    tiny = partial(calibrate_franke_westerhoff, generations=1, population=4, paths=8)
    monkeypatch.setattr(scoreboard, "calibrate_franke_westerhoff", tiny)
    experiment = build_experiment(load_config(QUICKSTART))
    return Judge(experiment, experiment.splits.validation, groups=2)


def test_the_franke_westerhoff_row_is_scored_like_the_others_and_the_seed_decides_it(judge):
    sample = dict(judge.baselines())["fw"]
    first, second = (sample(judge.stream("fw")) for _ in range(2))
    assert first.shape == (len(judge.seeds), judge.experiment.windows.world.days)
    assert first.tobytes() == second.tobytes()
    row = judge.row("fw", first, 0, 0.0)
    assert np.isfinite(row["score"])
    assert (row["split"], row["decisions"]) == ("validation", 0)


def test_franke_westerhoff_is_calibrated_on_training_years_whatever_split_is_judged(judge):
    train = Judge(judge.experiment, judge.experiment.splits.train, groups=2)
    assert judge._fitted(student=False) == train._fitted(student=False)


def test_a_row_is_corrected_for_the_rows_beside_it_alone():
    p_values = {"heldout": (0.01, 0.02, 0.5), "train": (0.04,)}
    rows = [
        {"asset": "sp500", "split": split, "p_value": p}
        for split, values in p_values.items()
        for p in values
    ]
    assert [row["p_holm"] for row in corrected(rows)] == pytest.approx([0.03, 0.04, 0.5, 0.04])


@pytest.mark.parametrize(
    ("value", "fault"), [(0.0, "constant price"), (np.nan, "non-finite return")]
)
def test_a_row_with_one_dead_path_has_an_infinite_score_and_says_why(judge, value, fault):
    returns = judge.real()
    assert np.isfinite(judge.row("real", returns, 0, 0.0)["score"])
    returns[5] = value
    row = judge.row("mine", returns, 0, 0.0, tried=7)
    assert (row["score"], row["ci_low"], row["ci_high"]) == (np.inf, np.inf, np.inf)
    assert row["p_value"] == 0.0
    assert row["verdict"] == f"group 1, path 1: {fault}"
    assert row["tried"] == 7
    assert row["mcr"] <= 7 / 8

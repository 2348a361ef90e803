from functools import partial
from pathlib import Path

import numpy as np
import pytest

import experiments
from experiments import scoreboard
from experiments.config import load_config
from experiments.scoreboard import Judge
from experiments.workshop import build_workshop
from fitness.calibration import calibrate_franke_westerhoff

QUICKSTART = Path(experiments.__file__).with_name("quickstart.yaml")


@pytest.fixture
def judge(monkeypatch):
    tiny = partial(calibrate_franke_westerhoff, generations=1, population=4, paths=8)
    monkeypatch.setattr(scoreboard, "calibrate_franke_westerhoff", tiny)
    workshop = build_workshop(load_config(QUICKSTART))
    return Judge(workshop, workshop.splits.validation, groups=2)


def test_the_franke_westerhoff_row_is_scored_like_the_others_and_the_seed_decides_it(judge):
    sample = dict(judge.baselines())["fw"]
    first, second = (sample(judge.stream("fw")) for _ in range(2))
    assert first.shape == (len(judge.seeds), judge.workshop.stage.world.days)
    assert first.tobytes() == second.tobytes()
    row = judge.row("fw", first, 0, 0.0)
    assert np.isfinite(row["score"])
    assert (row["split"], row["decisions"]) == ("validation", 0)


def test_franke_westerhoff_is_calibrated_on_training_years_whatever_split_is_judged(judge):
    train = Judge(judge.workshop, judge.workshop.splits.train, groups=2)
    assert judge._fitted() == train._fitted()

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from evobourse import experiments
from evobourse.experiments.config.experiment import load_config
from evobourse.experiments.sweep import judging as scoreboard
from evobourse.experiments.sweep.judging import Judge, _compared, _Played, _pooled
from evobourse.experiments.sweep.rows import corrected
from evobourse.experiments.sweep.setup import build_experiment
from evobourse.fitness.baselines.calibration import calibrate_franke_westerhoff
from evobourse.fitness.moments import volume_volatility
from evobourse.fitness.paths import Paths

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
    assert first.log_returns.shape == (len(judge.seeds), judge.experiment.windows.world.days)
    assert first.log_returns.tobytes() == second.log_returns.tobytes()
    assert first.volume is None
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
    assert np.isfinite(judge.row("real", Paths(returns), 0, 0.0)["score"])
    returns[5] = value
    row = judge.row("mine", Paths(returns), 0, 0.0, tried=7)
    assert (row["score"], row["ci_low"], row["ci_high"]) == (np.inf, np.inf, np.inf)
    assert row["p_value"] == 0.0
    assert row["verdict"] == f"group 1, path 1: {fault}"
    assert row["tried"] == 7
    assert row["mcr"] <= 7 / 8


def test_skill_is_the_score_over_that_of_real_training_days(judge):
    """On the moments that a market has: with volume against training days with theirs."""
    laws = dict(judge.baselines())
    train = laws["bootstrap_train"](judge.stream("bootstrap_train"))
    assert judge.row("bootstrap_train", train, 0, 0.0)["skill"] == 1.0
    assert judge.row("prices", train.prices_alone, 0, 0.0)["skill"] == 1.0
    walk = laws["gbm"](judge.stream("gbm"))
    expected = judge.score(walk).ratio / judge.score(train.prices_alone).ratio
    assert judge.row("gbm", walk, 0, 0.0)["skill"] == pytest.approx(expected)


def test_a_row_says_where_paths_end_and_how_volume_moves(judge):
    train = dict(judge.baselines())["bootstrap_train"](judge.stream("bootstrap_train"))
    falling = train.log_returns - 0.002
    row = judge.row("falling", Paths(falling, train.volume), 0, 0.0)
    assert row["ends_lower"] == np.mean(falling.sum(axis=1) < 0)
    assert row["volume_volatility"] == pytest.approx(
        volume_volatility(falling, train.volume).mean()
    )
    assert np.isnan(judge.row("prices", Paths(falling), 0, 0.0)["volume_volatility"])


def test_several_assets_have_rows_of_their_own_and_pooled_ones(judge):
    """Each asset in its own units; the pooled row is their geometric mean, group by group."""
    assets = build_experiment(load_config(QUICKSTART, ["series=[sp500, nasdaq]"])).assets
    assert [one.series.name for one in assets] == ["sp500", "nasdaq"]
    played = []
    for asset in assets:
        one = Judge(asset, asset.splits.validation, groups=2)
        laws = dict(one.baselines())
        for name, law in (("evolved", "bootstrap_target"), ("gbm", "gbm")):
            paths = laws[law](one.stream(law))
            played.append(_Played(one.row(name, paths, 0, 0.0), paths, one))
    rows, pooled = _compared(played), _pooled(played)
    assert [(r["asset"], r["name"]) for r in rows + pooled] == [
        *((a, n) for a in ("sp500", "nasdaq") for n in ("evolved", "gbm")),
        ("pooled", "evolved"),
        ("pooled", "gbm"),
    ]
    by_group = np.array([p.score.ratios for p in played if p.row["name"] == "gbm"])
    assert pooled[1]["score"] == pytest.approx(np.sqrt(by_group[0] * by_group[1]).mean())
    assert pooled[1]["skill"] == pytest.approx(np.sqrt(rows[1]["skill"] * rows[3]["skill"]))
    assert pooled[1]["seeds"] == 2 * rows[1]["seeds"]
    ours = np.array([p.ratios(played[1]) for p in played if p.row["name"] == "evolved"])
    gap = np.log(ours).mean(axis=0) - np.log(by_group).mean(axis=0)
    assert pooled[1]["log_ratio"][0] == pytest.approx(gap.mean())

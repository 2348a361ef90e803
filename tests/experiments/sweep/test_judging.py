from functools import partial
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from evobourse import experiments
from evobourse.agents.minds.stand_ins import RandomMinds
from evobourse.experiments.config.experiment import load_config
from evobourse.experiments.sweep import laws as scoreboard
from evobourse.experiments.sweep.judging import Judge, _compared, _Played, _pooled
from evobourse.experiments.sweep.laws import Laws
from evobourse.experiments.sweep.pasts import REFERENCE, Pasts, conditional_columns
from evobourse.experiments.sweep.rows import corrected
from evobourse.experiments.sweep.setup import build_experiment
from evobourse.fitness.baselines.calibration import calibrate_franke_westerhoff
from evobourse.fitness.moments import volume_volatility
from evobourse.fitness.paths import Paths
from evobourse.market.series.splits import Split

QUICKSTART = Path(experiments.__file__).with_name("quickstart.yaml")


@pytest.fixture
def judge(monkeypatch):
    tiny = partial(calibrate_franke_westerhoff, generations=1, population=4, paths=8)
    monkeypatch.setattr(scoreboard, "calibrate_franke_westerhoff", tiny)
    experiment = build_experiment(load_config(QUICKSTART))
    return Judge(experiment, experiment.splits.validation, groups=2)


def test_the_franke_westerhoff_row_is_scored_like_the_others_and_the_seed_decides_it(judge):
    sample = judge.baselines()["fw"]
    first, second = (sample(judge.stream("fw")) for _ in range(2))
    assert first.log_returns.shape == (len(judge.seeds), judge.experiment.windows.world.days)
    assert first.log_returns.tobytes() == second.log_returns.tobytes()
    assert first.volume is None
    row = judge.row("fw", first, 0, 0.0)
    assert np.isfinite(row["score"])
    assert (row["split"], row["decisions"]) == ("validation", 0)


def test_franke_westerhoff_is_calibrated_on_training_years_whatever_split_is_judged(judge):
    train = Judge(judge.experiment, judge.experiment.splits.train, groups=2)
    assert judge.laws._calibrated(False) == train.laws._calibrated(False)


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
    laws = judge.baselines()
    train = laws["bootstrap_train"](judge.stream("bootstrap_train"))
    assert judge.row("bootstrap_train", train, 0, 0.0)["skill"] == 1.0
    assert judge.row("prices", train.prices_alone, 0, 0.0)["skill"] == 1.0
    walk = laws["gbm"](judge.stream("gbm"))
    expected = judge.score(walk).ratio / judge.score(train.prices_alone).ratio
    assert judge.row("gbm", walk, 0, 0.0)["skill"] == pytest.approx(expected)


def test_a_row_says_where_paths_end_and_how_volume_moves(judge):
    train = judge.baselines()["bootstrap_train"](judge.stream("bootstrap_train"))
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
        laws = one.baselines()
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


def test_ensembles_follow_the_same_pasts_and_the_seed_decides_them(judge):
    """What is told the past stands against itself with no difference, and dice play to the end."""
    heldout = Judge(judge.experiment, judge.experiment.splits.heldout, groups=2)
    pasts, dates = heldout.pasts(), judge.experiment.series.dates
    assert [str(dates[start])[:7] for start in pasts.starts[[0, 1, -1]]] == [
        *("2011-01", "2011-04", "2018-10")
    ]
    assert (np.diff(pasts.starts) >= 60).all()
    told, again = (pasts.draw("garch_t-history") for _ in range(2))
    assert told.scores.tobytes() == again.scores.tobytes()
    assert told.scores.shape == told.quarters.shape == (32,)
    columns = conditional_columns([told], [again])
    assert columns["conditional"] == told.scores.mean()
    assert (columns["conditional_skill"], columns["conditional_verdict"]) == (1.0, "the reference")
    walk = conditional_columns([pasts.draw("gbm")], [told])
    assert walk["conditional_skill"] == pytest.approx(walk["conditional"] / told.scores.mean())
    assert 0 < walk["conditional_p"] < 1


def test_a_populations_ensembles_begin_where_real_windows_do(judge):
    small = build_experiment(load_config(QUICKSTART, ["market.agents=20", "workers=1"]))
    short = Split("validation", small.splits.validation.start, small.splits.validation.start + 160)
    genome = small.market_genome
    population = genome.population(genome.genome().to_values(genome.genome().start_vector()))
    pasts = Pasts(Laws(small), short)
    first, again = (pasts.play(population, RandomMinds()) for _ in range(2))
    assert first.scores.tobytes() == again.scores.tobytes()
    assert np.isfinite(first.scores).all()
    assert first.quarters.tolist() == [4 * 37 + 2, 4 * 37 + 3]  # of 2007, from July on


def test_without_a_whole_quarter_nothing_is_told_of_pasts(judge):
    split = judge.experiment.splits.validation
    pasts = Pasts(judge.laws, Split("validation", split.start, split.start + 70))
    nothing = conditional_columns([pasts.draw("gbm")], [pasts.draw("garch_t-history")])
    assert np.isnan(nothing["conditional"])
    assert nothing["conditional_verdict"] == "no quarter to score: it cannot be told"


def test_only_held_out_rows_are_told_of_pasts_and_assets_are_pooled_by_quarter():
    assets = build_experiment(load_config(QUICKSTART, ["series=[sp500, nasdaq]"])).assets
    played = []
    for asset in assets:
        for split in (asset.splits.validation, asset.splits.heldout):
            one = Judge(asset, split, groups=2)
            for name, law in (("evolved", "gbm"), (REFERENCE, "gbm-history")):
                paths = one.baselines()[law](one.stream(law))
                given = one.pasts().draw(law) if split.name == "heldout" else None
                played.append(_Played(one.row(name, paths, 0, 0.0), paths, one, given))
    rows, pooled = _compared(played), _pooled(played)
    assert {row["split"] for row in rows + pooled if "conditional" in row} == {"heldout"}
    [ours] = [row for row in pooled if (row["split"], row["name"]) == ("heldout", "evolved")]
    each = [p.given.scores for p in played if p.given and p.row["name"] == "evolved"]
    assert ours["conditional"] == pytest.approx(np.mean(each))
    theirs = [p.given.scores for p in played if p.given and p.row["name"] == REFERENCE]
    gap = np.mean(each, axis=0) - np.mean(theirs, axis=0)
    assert ours["conditional_p"] == pytest.approx(ttest_1samp(gap, 0.0).pvalue)

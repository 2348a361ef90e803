"""The flagship study at a small size, with stand-ins for models: its page, its record, its arms."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from evobourse.evolve.errors import EvolveError
from evobourse.experiments.config.experiment import load_config
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.reports.figure_lines import Report
from evobourse.experiments.studies.sp500 import arms, study
from evobourse.experiments.studies.sp500.arms import ARMS, CHOSEN, EVOLVED
from evobourse.experiments.studies.sp500.standings import (
    Reading,
    compare,
    conditional_ratio,
    conditional_standing,
    make_rows,
)
from evobourse.experiments.studies.sp500.study import Settings, run
from evobourse.experiments.sweep import laws
from evobourse.experiments.sweep.arms import Arm, Models
from evobourse.experiments.sweep.pasts import REFERENCE
from evobourse.experiments.sweep.searches import make_search
from evobourse.experiments.sweep.setup import build_experiment
from evobourse.fitness.baselines.calibration import calibrate_franke_westerhoff
from evobourse.fitness.conditional.energy import QuarterScores
from evobourse.fitness.distance import SplitScore
from evobourse.fitness.errors import FitnessError
from evobourse.fitness.moments import MOMENT_NAMES

SMALL = (
    "market.agents=30",
    "market.days=60",
    "market.paths=2",
    "search.cross.fast_count=3",
    "selection.champions=2",
    "selection.validation_groups=2",
    "workers=1",
)


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Settings of a study of seconds, in which teachers stand in for the models."""
    tiny = partial(calibrate_franke_westerhoff, generations=1, population=4, paths=8)
    monkeypatch.setattr(laws, "calibrate_franke_westerhoff", tiny)
    monkeypatch.setitem(arms.ARMS, EVOLVED, replace(ARMS["teachers_evolved"], meaning="whole"))
    return Settings(
        seeds=2,
        arms=("dice_evolved",),
        generations=1,
        trained=("sp500",),
        judged=("sp500", "nasdaq"),
        groups=2,
        folder=tmp_path / "sweeps",
        changes=SMALL,
    )


def test_page_record_and_picture_say_the_same_and_a_second_call_finds_the_sweeps_done(small):
    page = run(small, Report("sp500", "evobourse study sp500"))
    record = json.loads(page.files["sp500.json"])
    assert record["assets"] == ["sp500", "nasdaq"]
    assert (record["sweep_seeds"], record["candidates"]) == (2, 3 + 1)
    rows = record["rows"]
    assert record["chosen_seed"] in (1, 2)
    assert {EVOLVED, CHOSEN, "dice_evolved", "gjr_garch_t", "fw_t", "bootstrap_train"} <= set(rows)
    for name, row in rows.items():
        assert row["ci_low"] <= row["score"] <= row["ci_high"], name
        assert f"| `{name}` |" in page.text.replace("**", "")
        assert f"{row['score']:.2f} [{row['ci_low']:.2f}" in page.text
    assert rows["bootstrap_train"]["skill"] == pytest.approx(1.0)
    assert rows[EVOLVED]["volume_volatility"] is not None
    assert rows["gjr_garch_t"]["volume_volatility"] is None
    told = rows["garch_t-history"]
    assert (told["conditional_skill"], told["conditional_p"]) == (1.0, None)
    for name, row in rows.items():
        assert row["conditional_skill"] == pytest.approx(row["conditional"] / told["conditional"])
        assert name == "garch_t-history" or 0 <= row["conditional_p"] <= 1
    for name in ("dice_evolved", "garch_t-history"):
        assert f"| better than `{name}` given real pasts |" in page.text
    assert "over 32 calendar quarters" in page.text
    assert list(page.pictures) == ["sp500.png"]
    lineages = sorted(small.folder.rglob("lineage.jsonl"))
    assert len(lineages) == 4
    before = [file.read_bytes() for file in lineages]
    again = json.loads(run(small, Report("sp500", "evobourse study sp500")).files["sp500.json"])
    assert again["rows"] == rows
    assert [file.read_bytes() for file in lineages] == before


def test_a_sweep_reads_its_held_out_windows_for_one_purpose(small):
    run(small, Report("sp500", ""))
    with pytest.raises(FitnessError, match="heldout"):
        run(replace(small, groups=3), Report("sp500", ""))


def test_a_series_that_is_shorter_than_the_splits_is_judged_on_the_days_that_it_has():
    config = load_config("quickstart")
    found = {name: study.of_series(config, name).splits for name in Settings().judged}
    assert found["sp500"] == config.splits
    assert found["aapl"].train[0] > config.splits.train[0]
    assert found["aapl"].heldout[1] < config.splits.heldout[1]
    for name in found:
        build_experiment(study.of_series(config, name))


def test_an_unknown_arm_is_one_line(small):
    with pytest.raises(ConfigError, match="did you mean 'bare_evolved'"):
        run(replace(small, arms=("bare_evolve",)), Report("sp500", ""))


@pytest.mark.parametrize("name", ARMS)
def test_arms_differ_in_what_they_say(name):
    config = load_config("quickstart")
    whole, genome = (
        build_experiment(one).market_genome for one in (config, ARMS[name].change(config))
    )
    segments = [segment.name for segment in genome.genome().segments]
    found = {
        "merge": "recipe" in segments,
        "styles": bool(genome.styles),
        "personas": len(genome.personas) == len(whole.personas),
        "mechanisms": bool(genome.mechanisms.on),
    }
    lacking = {
        "teachers_evolved": {"merge"},
        "dice_evolved": {"merge"},
        "no_merge_evolved": {"merge"},
        "bare_evolved": {"merge", "styles"},
        "one_mind_evolved": {"personas"},
        "no_mechanisms_evolved": {"mechanisms"},
    }
    assert {part for part, there in found.items() if not there} == lacking.get(name, set())
    search = make_search(
        config.search, genome.genome(), genome.slow_segments(), np.random.SeedSequence(1)
    )
    proposed = search.genomes(search.ask())
    assert sum(map(len, proposed)) == search.planned_candidates(0)


def reading(ratios, with_volume=True, given=()):
    """Return a reading of one asset: J/J95 of groups, all moments 0 and inside, energy scores."""
    names = (
        MOMENT_NAMES if with_volume else tuple(n for n in MOMENT_NAMES if n != "volume_volatility")
    )
    ratios = np.asarray(ratios, np.float64)
    zero, one = np.zeros(len(names)), np.ones(len(names))
    score = SplitScore(1.0, ratios.mean(), 0, 0, 0.5, "", 0.5, one, ratios, zero, zero[None], "ok")
    scored = (QuarterScores(np.arange(len(given)), np.asarray(given, np.float64)),)
    return Reading(("sp500",), (score,), (score,), names, np.array([0.25]), scored)


def test_a_ratio_of_scores_is_over_seeds_and_a_laws_one_reading_stands_for_all():
    ours = [reading([1.0, 1.0]), reading([2.0, 2.0]), reading([4.0, 4.0])]
    law = [reading([2.0, 2.0], with_volume=False)]
    mean, low, high = compare(ours, law)
    assert mean == pytest.approx(1.0)
    assert low < 1 < high
    twice = [reading([2.0, 2.0]), reading([4.0, 4.0]), reading([8.0, 8.0])]
    assert compare(ours, twice) == pytest.approx((0.5, 0.5, 0.5))


def test_an_interval_is_over_seeds_where_there_are_several_else_over_groups():
    several = [reading([1.0, 9.0]), reading([5.0, 5.0])]
    law = [reading([1.0, 9.0])]
    rows = make_rows({"ours": several, "bootstrap_train": law, REFERENCE: law}, "ours")
    assert (rows["ours"]["ci_low"], rows["ours"]["ci_high"]) == (5.0, 5.0)
    assert rows["bootstrap_train"]["ci_low"] == 1.0
    assert rows["ours"]["skill"] == pytest.approx(1.0)


def test_given_real_pasts_sweeps_are_averaged_before_quarters_are_tested():
    rng = np.random.default_rng(4)
    law = rng.exponential(size=30)
    own = [law + 0.1 + 0.05 * rng.normal(size=30) for _ in range(3)]
    ours, theirs = [reading([1.0], given=each) for each in own], [reading([1.0], given=law)]
    standing = conditional_standing(ours, theirs)
    gap = np.mean(own, axis=0) - law
    assert standing.p_value == pytest.approx(ttest_1samp(gap, 0.0).pvalue)
    assert standing.verdict == "worse"
    mean, low, high = conditional_ratio(ours, theirs)
    assert mean == pytest.approx(
        np.exp(np.mean([np.log(each.mean() / law.mean()) for each in own]))
    )
    assert low < mean < high
    paired = conditional_ratio(ours, [reading([1.0], given=2 * each) for each in own])
    assert paired == pytest.approx((0.5, 0.5, 0.5))


def test_nothing_but_models_opens_a_model():
    assert {arm.who for arm in ARMS.values()} == {"models", "teachers", "dice"}
    experiment = build_experiment(load_config("quickstart"))
    opened = Models()
    for who in ("teachers", "dice"):
        opened.of(Arm("", who=who), experiment)
    assert opened.opened == {}
    assert study.STUDY.page == "docs/studies/sp500.md"


def test_sweeps_share_their_workers_which_end_with_the_study():
    config = load_config("quickstart", ["workers=2"])
    models = Models()
    one, other = (models.build(replace(config, seed=seed)) for seed in (1, 2))
    alone = models.build(replace(config, workers=1))
    assert one.executor is other.executor
    assert alone.executor is not one.executor
    assert one.executor.submit(abs, -1).result() == 1
    models.close()
    with pytest.raises(EvolveError, match="closed"):
        one.executor.submit(abs, -1)

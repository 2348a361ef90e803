import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
from huggingface_hub import ModelCard
from scipy.special import softmax

import evobourse.experiments.styles.supervised as style_training
from evobourse import agents
from evobourse.agents.styles import EXPERT, FIRST_STYLES
from evobourse.agents.training.expert import fit_policy
from evobourse.experiments.config.experiment import ASSETS, load_config
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.studies.run import run_study
from evobourse.experiments.studies.styles.page import Blend
from evobourse.experiments.styles.measures import calibrate, correlate
from evobourse.experiments.styles.supervised import StylePlan, stretches, train_styles
from evobourse.experiments.sweep.setup import build_experiment
from evobourse.market.errors import SeriesError
from evobourse.market.series.named import load_series

ROOT = Path(agents.__file__).parents[2]
QUICKSTART = ROOT / "experiments" / "quickstart.yaml"
SHIPPED = ROOT / "agents" / "adapters"


@pytest.fixture(scope="module")
def quickstart():
    return load_config(QUICKSTART)


# Which adapters a config's bank holds


def test_more_shipped_styles_leave_a_bank_as_it_was(quickstart):
    bank = [path.name for path in build_experiment(quickstart).adapters]
    assert bank == sorted(FIRST_STYLES)
    assert {"noise", "expert"} <= {path.name for path in SHIPPED.iterdir()}
    one = replace(quickstart, personas=quickstart.personas[:1])
    assert [path.name for path in build_experiment(one).adapters] == bank


def test_a_persona_brings_its_style_into_the_bank():
    config = load_config(QUICKSTART, ["personas=[{name: fool, style: noise}]"])
    bank = [path.name for path in build_experiment(config).adapters]
    assert bank == sorted([*FIRST_STYLES, "noise"])


def test_a_folder_of_ones_own_is_a_bank_as_it_is(quickstart):
    own = replace(quickstart, minds=replace(quickstart.minds, adapters=str(SHIPPED)))
    assert {"noise", "expert"} < {path.name for path in build_experiment(own).adapters}


# Which days are trained on


def test_every_asset_is_cut_at_the_same_dates(quickstart):
    found = {split: stretches(quickstart, split) for split in ("train", "heldout")}
    assert [s.series.name for s in found["train"]] == list(ASSETS)
    for train, heldout in zip(found["train"], found["heldout"], strict=True):
        dates = train.series.dates.astype(str)
        assert dates[train.stop - 1] <= "2006-12-29"
        assert dates[heldout.start + 251] >= "2010-12-01"
        assert dates[heldout.stop - 1] <= "2018-12-31"


def test_the_shipped_expert_is_fitted_on_training_years_alone(quickstart, monkeypatch):
    def later_trebled(name, **options):
        series = load_series(name, **options)
        times = np.where(series.dates.astype(str) > "2006-12-29", 3.0, 1.0)
        prices = ("open", "high", "low", "close")
        return replace(series, **{price: getattr(series, price) * times for price in prices})

    def fit():
        return fit_policy([(s.closes, s.volumes) for s in stretches(quickstart, "train")])

    assert fit() == EXPERT
    monkeypatch.setattr(style_training, "load_series", later_trebled)
    assert fit() == EXPERT
    years = {"train": ("1999-01-04", "2007-02-28"), "validation": ("2007-08-01", "2010-06-30")}
    longer = stretches(replace(quickstart, splits=replace(quickstart.splits, **years)), "train")
    assert fit_policy([(s.closes, s.volumes) for s in longer]) != EXPERT


def test_series_can_be_named_and_must_have_the_years(quickstart):
    named = load_config(QUICKSTART, ["training.series=[ibm]"])
    assert [s.series.name for s in stretches(named, "train")] == ["ibm"]
    young = load_config(QUICKSTART, ["training.series=[sp500, fb]"])
    with pytest.raises(SeriesError, match="fb"):
        stretches(young, "train")
    with pytest.raises(ConfigError, match=r"training\.series is empty"):
        load_config(QUICKSTART, ["training.series=[]"])


def test_an_unknown_style_and_a_quantiser_without_gradients_are_refused(quickstart, tmp_path):
    with pytest.raises(ConfigError, match=r"--only 'luck': expected one of momentum, .*, expert"):
        train_styles(quickstart, tmp_path, StylePlan(only=("luck",)))
    other = load_config(QUICKSTART, ["minds.quantizer=torchao"])
    with pytest.raises(ConfigError, match="trained through our own INT8 alone"):
        train_styles(other, tmp_path, StylePlan(only=("noise",), int8=True))


# Training, measuring and the card


def test_a_style_is_trained_on_int8_and_says_how(smol, quickstart, tmp_path, monkeypatch):
    monkeypatch.setattr(style_training, "EXAMPLES", 64)
    told = []
    plan = StylePlan(only=("expert",), steps=1, top_layers=1, int8=True)
    assert train_styles(quickstart, tmp_path, plan, lambda *x: told.append(x)) == ["expert"]
    assert [step[:3] for step in told] == [("expert", 1, 1)]
    made = json.loads((tmp_path / "expert" / "provenance.json").read_text())
    assert made["precision"] == "int8"
    assert made["series"] == ", ".join(ASSETS)
    assert made["teachers"] == {"expert": EXPERT}
    assert set(made["series_sha256"]) == set(ASSETS)
    assert train_styles(quickstart, tmp_path, plan) == []


def test_calibration_counts_by_hand():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(0, 2, (400, 5)).astype(np.float32), rng.integers(5, size=400)
    error, bins = calibrate(logits, labels)
    chances = softmax(logits.astype(np.float64), axis=1)
    gaps = 0.0
    for low in np.arange(10) / 10:
        here = [row for row in range(400) if low < chances[row].max() <= low + 0.1]
        right = sum(chances[row].argmax() == labels[row] for row in here)
        gaps += abs(right - sum(chances[row].max() for row in here))
    assert error == pytest.approx(gaps / 400)
    assert sum(row.count for row in bins) == 400
    sure = np.where(np.eye(5)[labels], 20.0, 0.0).astype(np.float32)
    assert calibrate(sure, labels)[0] == pytest.approx(0, abs=1e-6)
    assert calibrate(sure, (labels + 1) % 5)[0] == pytest.approx(1, abs=1e-6)


def test_worth_is_found_where_it_is_and_not_where_it_is_not(quickstart, monkeypatch):
    monkeypatch.setattr("evobourse.experiments.styles.measures.REPLICATES", 200)
    days = stretches(quickstart, "heldout")[-4:]
    rng = np.random.default_rng(1)
    paid = [rng.normal(size=len(s.closes) - 251) for s in days]
    for known in paid:
        known[-10:] = np.nan
    clear = correlate(days, [known + rng.normal(size=len(known)) for known in paid], paid, rng)
    assert 0.6 < clear.low < clear.correlation < clear.high < 0.8
    assert clear.days == sum(len(known) - 10 for known in paid)
    none = correlate(days, [rng.normal(size=len(known)) for known in paid], paid, rng)
    assert none.low < 0 < none.high


def test_where_a_mixture_does_not_follow_its_coefficient_is_said():
    grid = np.linspace(0, 1, 3)
    agreement = np.array([[0.1, 0.5, 0.4], [0.9, 0.6, 0.2]])
    [(name, part, fall)] = Blend("a", "b", grid, agreement, 10).falls
    assert (name, part) == ("a", 1.0)
    assert fall == pytest.approx(0.1)
    [(name, part, fall)] = Blend("a", "b", grid, agreement[::-1, ::-1], 10).falls
    assert (name, part) == ("b", 1.0)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_study_measures_writes_cards_and_draws(smol, tmp_path, told):
    import shutil

    for name in ("momentum", "expert"):
        shutil.copytree(SHIPPED / name, tmp_path / "adapters" / name)
    small = ["views=60", "mixed_views=20", "steps=2", "attention=2"]
    out = tmp_path / "styles.md"
    run_study("styles", [f"adapters={tmp_path / 'adapters'}", *small], out)
    lines = told()
    assert all(set(line) == {"bench", "figure", "value", "unit", "peer", "ratio"} for line in lines)
    named = {(line["figure"], str(line["peer"]).split(":")[0]): line for line in lines}
    assert named["momentum, agreement", "bare base"]["value"] > 0.9
    assert named["momentum, margin", "at least 0.3 over both"]["ratio"] > 1
    assert named["pairs that mix monotonously", "1 pairs"]["value"] in (0, 1)
    assert (tmp_path / "styles.png").stat().st_size > 10_000
    page = out.read_text()
    for name in ("momentum", "expert"):
        assert f"| {name} |" in page
        card = ModelCard.load(tmp_path / "adapters" / name / "README.md")
        assert card.data.base_model == "HuggingFaceTB/SmolLM2-135M-Instruct"
        [result] = card.data.eval_results
        assert f"| with the adapter | {100 * result.metric_value:.1f} %" in card.text
    assert "rank correlation" in card.text


def test_every_shipped_adapter_has_a_card_that_tells_what_it_does():
    for folder in SHIPPED.iterdir():
        card = ModelCard.load(folder / "README.md")
        assert card.data.library_name == "peft"
        made = json.loads((folder / "provenance.json").read_text())
        assert made["series"] in card.text
        for part in ("with the adapter", "the bare base", "Calibration", "Whom it resembles"):
            assert part in card.text
        margin = re.search(r"([+-]\d+\.\d) points over the better of base and words", card.text)
        assert float(margin[1]) >= 30


def test_an_interrupted_command_says_how_to_go_on(tmp_path, monkeypatch, capsys):
    from evobourse.experiments.cli.styles import train_styles as command

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(style_training, "train_styles", interrupted)
    with pytest.raises(typer.Exit) as left:
        command(QUICKSTART, tmp_path)
    assert left.value.exit_code == 130
    assert "the same command goes on where it stopped" in capsys.readouterr().out

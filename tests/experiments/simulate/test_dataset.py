"""A tape as a data set: the library reads what the tape holds, and the card names every table."""

import json

import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from evobourse.evolve.errors import RunError
from evobourse.experiments.cli.main import app
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.simulate.dataset import export_dataset
from evobourse.market.tape.recorded import read_tape


@pytest.mark.parametrize("kind", ["fast", "exchange"])
def test_the_library_reads_it(tapes, tmp_path, monkeypatch, kind):
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    from datasets import load_dataset

    names = export_dataset(tapes / kind, tmp_path / "set")
    assert {"prices", "decisions"} <= set(names)
    card = (tmp_path / "set" / "README.md").read_text()
    assert [line[3:] for line in card.splitlines() if line.startswith("## ")] == names
    head = yaml.safe_load(card.split("---")[1])
    assert [one["config_name"] for one in head["configs"]] == names
    assert [one["config_name"] for one in head["configs"] if one.get("default")] == ["prices"]
    own = str(tmp_path / "cache")
    for name in ("prices", "decisions"):
        read = load_dataset(str(tmp_path / "set"), name, split="train", cache_dir=own).to_pandas()
        if kind == "fast":
            tape = pd.read_parquet(tapes / kind / f"{name}.parquet")
        else:
            tape = read_tape(tapes / kind).frame(name)
        pd.testing.assert_frame_equal(read, tape, check_dtype=False)
    assert "| close_ticks | int64 | ticks | last trade" in card


def test_what_is_no_tape_is_refused_and_nothing_replaced(tapes, small_bundle, tmp_path):
    with pytest.raises(ConfigError, match="no simulation's tape"):
        export_dataset(small_bundle, tmp_path / "set")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds something"):
        export_dataset(tapes / "fast", tmp_path / "full")
    assert [file.name for file in (tmp_path / "full").iterdir()] == ["mine.txt"]


def test_the_command_writes_it(tapes, tmp_path):
    arguments = ["export", str(tapes / "fast"), "--out", str(tmp_path / "set")]
    done = CliRunner().invoke(app, [*arguments, "--to", "datasets", "--json"])
    assert json.loads(done.stdout)["dataset"] == str(tmp_path / "set")
    assert (tmp_path / "set" / "README.md").is_file()
    assert isinstance(CliRunner().invoke(app, arguments).exception, RunError)  # no bundle

"""The door for Python: its page runs as written, in a script that guards nothing."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes

import evobourse as eb
from evobourse.evolve.errors import RunError
from evobourse.experiments.config.experiment import load_config
from evobourse.experiments.errors import ConfigError
from evobourse.market.accounts import Accounts
from evobourse.market.series.named import load_series
from evobourse.market.tape.daily_tape import Tape

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "python.md").read_text()
SMALL = [
    "search.cross.slow_count=2",
    "search.cross.slow_every=2",
    "search.cross.fast_count=3",
    "selection.champions=2",
    "selection.validation_groups=2",
    "selection.heldout_groups=2",
    "market.agents=40",
    "market.days=60",
    "market.paths=2",
    "minds.attention=1",
    "minds.recipe_blocks=0",  # three processes, each with what it merges, would take 8 GB
    "workers=1",
]
BEFORE = """
import json, sys
from pathlib import Path
from evobourse.experiments.config import experiment
experiment.PRESETS = Path(sys.argv[1])
"""
AFTER = """
print(json.dumps({
    "axes": type(axes).__name__,
    "days": len(tape),
    "rows": heldout["name"].tolist(),
    "seeds": [eb.load(f"runs/{name}").config.seed for name in "ab"],
    "sides": sorted(set(orders["side"].tolist())),
}))
"""


@pytest.fixture(scope="module")
def page(fetched_base, tmp_path_factory):
    """Run the page's code as one script, on a small quickstart: its folder and what it printed."""
    folder = tmp_path_factory.mktemp("page")
    small = load_config("quickstart", SMALL)
    (folder / "quickstart.yaml").write_text(small.to_yaml())
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    script = folder / "script.py"
    script.write_text("\n".join([BEFORE, *blocks, AFTER]))
    done = subprocess.run(
        [sys.executable, str(script), str(folder)], cwd=folder, capture_output=True, text=True,
        check=False, timeout=900,
        env={**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return folder, done.stdout.splitlines()


@pytest.mark.slow
def test_the_pages_code_runs_without_a_main_guard(page):
    folder, (about, before, after, said) = page
    assert about.split()[0] == "1"
    assert re.fullmatch(r"[\d.]+ (not rejected|undecided|rejected)", before)
    assert re.fullmatch(r"[\d.]+ (not rejected|undecided|rejected)", after)
    found = json.loads(said)
    assert found["days"] == 250
    assert found["axes"] == "Axes"
    assert found["sides"] == [-1, 1]
    assert found["seeds"] == [2026, 7]
    assert {"evolved", "unevolved", "gbm"} <= set(found["rows"])
    assert (folder / "nasdaq.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_finished_run_is_returned_and_another_one_refused(page, monkeypatch):
    monkeypatch.chdir(page[0])
    before = {path: path.stat().st_mtime_ns for path in Path("runs/a").glob("lineage.jsonl")}
    config = "runs/a/config.yaml"
    monkeypatch.setattr("evobourse.experiments.api.watch_sweep", None)  # nothing is run again
    assert eb.evolve(config, out="runs/a").scoreboard.equals(eb.load("runs/a").scoreboard)
    with pytest.raises(RunError, match="another config"):
        eb.evolve(config, out="runs/a", settings={"market.agents": 20})
    with pytest.raises(RunError, match="no run there"):
        eb.load("runs")
    with pytest.raises(ConfigError, match="is a bundle, which has no settings"):
        eb.open_population("runs/a/bundle", {"seed": 1})
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_settings_are_checked():
    with pytest.raises(ConfigError, match=r"did you mean 'search\.generations'"):
        eb.evolve("quickstart", settings={"search.generatoins": 1})
    with pytest.raises(ConfigError, match=r"search\.generations is 0, expected at least 1"):
        eb.evolve("quickstart", generations=0)
    with pytest.raises(ConfigError, match="quikstart: cannot be read"):
        eb.evolve("quikstart")


def test_a_tape_in_memory_scores_as_the_one_on_disk(tmp_path):
    tape = _tape(load_series("sp500").close[-251:])
    tape.write(tmp_path)
    here, there = eb.score(tape), eb.score(tmp_path)
    told, again = here.as_json(), there.as_json()
    assert (told.pop("series"), again.pop("series")) == ("simulated", str(tmp_path))
    assert told.pop("notes") == [
        note.replace(str(tmp_path), "simulated") for note in again.pop("notes")
    ]
    assert told == again
    assert repr(here) == f"<simulated against sp500: J/J95 {here.ratio:.2f}, {here.conclusion}>"


def test_a_score_is_drawn_on_axes_of_ones_own_or_new_ones():
    score = eb.score(_tape(load_series("sp500").close[-251:]))
    figure = mpl.figure.Figure()
    given = figure.subplots()
    assert score.plot(given) is given
    assert "simulated" in {text.get_text() for text in given.get_legend().get_texts()}
    drawn = score.plot()
    assert isinstance(drawn, Axes)
    assert drawn is not given
    mpl.pyplot.close(drawn.figure)


def _tape(close):
    """Make a tape of closes."""
    ticks = np.round(100 * np.asarray(close)).astype(np.int64)
    prices = [ticks[1:]] * 5
    volume, nobody = np.ones(len(ticks) - 1, dtype=np.int64), np.zeros(0, dtype=np.int64)
    return Tape(int(ticks[0]), np.arange(len(volume)), *prices, volume, Accounts(nobody, nobody))


def test_the_package_is_light_typed_and_has_a_version():
    script = """
import sys
import evobourse as eb
heavy = {"torch", "pandas", "matplotlib", "mlflow", "numpy"} & set(sys.modules)
assert not heavy, heavy
import evobourse.evolve.loop as loop
assert eb.evolve.loop is loop
assert callable(eb.evolve) and eb.__version__
assert set(eb.__all__) <= set(dir(eb))
try:
    eb.evovle
except AttributeError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("module 'evobourse' has no attribute 'evovle'\n", "")
    assert (Path(eb.__file__).parent / "py.typed").is_file()

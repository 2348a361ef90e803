"""A moment is one entry: what docs/extend.md says, done in a package of links and one copy."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = """
import io
import json

from rich.console import Console

from evobourse.experiments.scoring import daily, series
from evobourse.experiments.scoring.baselines import BaselineRow, Budget, render
from evobourse.experiments.scoring.page import draw_score
from evobourse.experiments.scoring.table import print_score
from evobourse.fitness.facts import skewness
from evobourse.fitness.moments import MOMENT_NAMES, measured
from evobourse.fitness.plots import plot_moments

series.REAL_WINDOWS = 4
scored = daily.read_daily("nasdaq", "2010-01-01:2013-12-31")
result = series.score_series(scored, daily.read_daily("sp500"))
console = Console(width=80, file=io.StringIO())
print_score(result, console)
shares = (1.0,) * len(measured(250, False))
laws = [BaselineRow("gbm", "sp500", s, *[1.0] * 6, shares, "ok") for s in ("train", "heldout")]
panels = [[t.get_text() for t in a.get_yticklabels()] for a in draw_score(result).axes]
print(json.dumps({
    "names": MOMENT_NAMES,
    "rows": result.as_json()["moments"],
    "expected": float(skewness(result.windows).mean()),
    "table": console.file.getvalue(),
    "plot": [t.get_text() for t in plot_moments(result.target, {}).get_yticklabels()],
    "panels": sum(panels, []),
    "baselines": render(laws, ["sp500"], Budget(250), "baselines"),
}))
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """What a package with the guide's moment says of a score."""
    guide = (ROOT / "docs" / "extend.md").read_text().split("\n## A moment\n")[1]
    function, entry = re.search(r"```python\n(.*?)\n\n\n(Moment\(.*?)\n```", guide, re.S).groups()
    root = tmp_path_factory.mktemp("extended")
    package = root / "evobourse"
    package.mkdir()
    for part in (ROOT / "evobourse").iterdir():
        if part.name != "fitness":
            (package / part.name).symlink_to(part.resolve())
    shutil.copytree(ROOT / "fitness", package / "fitness")
    module = package / "fitness" / "moments.py"
    before, table = module.read_text().split("MOMENTS: tuple")
    entries, after = table.split("\n)\n", 1)
    module.write_text(f"{before}{function}\n\n\nMOMENTS: tuple{entries}\n{entry},\n)\n{after}")
    home = {"PYTHONPATH": str(root), "EVOBOURSE_CACHE": str(root / "cache"), "MPLBACKEND": "agg"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=root,
        env=os.environ | home,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_it_is_scored_like_the_others(seen):
    assert len(seen["names"]) == len(seen["rows"]) == 12
    row = seen["rows"][-1]
    assert row["name"] == seen["names"][-1] == "skewness"
    assert row["simulated"] == pytest.approx(seen["expected"])
    assert row["low"] < row["real"] < row["high"]


def test_table_plot_and_reports_name_it(seen):
    [line] = [line for line in seen["table"].splitlines() if "skewness, + rises" in line]
    assert f"{seen['rows'][-1]['simulated']:.2f}" in line
    assert len(seen["plot"]) == 12
    assert seen["plot"][-1] == "skewness\n+ rises"
    assert {"skewness, + rises", "3 gain/loss, skewness"} <= set(seen["panels"])
    assert "| ACF 20-50 | skew |" in seen["baselines"]

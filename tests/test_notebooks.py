"""The notebooks run from their sources, small; what is committed beside them was made of them."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "notebooks"
SOURCES = sorted(FOLDER.glob("*.py"))
SMALL = {
    "1_first_sweep": "GENERATIONS, AGENTS, DAYS, PATHS, OUT = 2, 30, 60, 2, 'runs/a'",
    "2_anatomy": "GENERATIONS, AGENTS, DAYS, PATHS, OUT = 2, 30, 60, 2, 'runs/a'",
    "3_scenario": "AGENTS, DAYS, NEWS_DAY = 30, 12, 5",
    "4_your_own": "AGENTS, DAYS = 30, 40",
    "5_merging": "AGENTS, DAYS, EVERY = 30, 40, 15",
}
PARAMETERS = re.compile(r'(?<=# %% tags=\["parameters"\]\n).*?(?=\n# %%)', re.DOTALL)
RUNNER = """
import functools, gc, pathlib, sys
from evobourse.experiments.sweep import laws
fit = laws.calibrate_franke_westerhoff  # the longest part at full size
laws.calibrate_franke_westerhoff = functools.partial(fit, generations=2, population=4)
for file in map(pathlib.Path, sys.argv[1:]):
    exec(compile(file.read_text(), file.name, "exec"), {"__name__": "__main__"})
    print(f"<{file.stem} done>")
    import matplotlib.pyplot as plt
    plt.close("all")
    gc.collect()  # a model is gone before the next one is opened
"""


@pytest.mark.slow
def test_notebooks_run(fetched_base, tmp_path):
    """All in one process, so that a model's imports are paid for once."""
    for file in SOURCES:
        text, found = PARAMETERS.subn(SMALL[file.stem] + "\n", file.read_text())
        assert found == 1, file.name
        (tmp_path / file.name).write_text(text)
    done = subprocess.run(
        [sys.executable, "-c", RUNNER, *(file.name for file in SOURCES)],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=900,
        env={**os.environ, "PYTHONPATH": str(FOLDER.parent), "MPLBACKEND": "Agg"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert re.findall(r"<(\w+) done>", done.stdout) == [file.stem for file in SOURCES]
    assert "the same bars, day by day: True" in done.stdout
    assert done.stdout.count("fine\n") == 3  # styles of one's own


def cells_of(source):
    """Read a source's cells: whether each is text, and its lines."""
    _, *parts = re.split(r"^# %%", source.read_text(), flags=re.MULTILINE)
    for part in parts:
        head, _, body = part.partition("\n")
        text = "[markdown]" in head
        lines = body.strip().splitlines()
        yield text, [line.removeprefix("#").removeprefix(" ") for line in lines] if text else lines


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_a_notebook_is_its_source_executed(source):
    notebook = json.loads(source.with_suffix(".ipynb").read_text())
    cells = notebook["cells"]
    found = [
        (cell["cell_type"] == "markdown", "".join(cell["source"]).strip().splitlines())
        for cell in cells
    ]
    assert found == list(cells_of(source)), "make notebooks"
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert "error" not in {output["output_type"] for output in outputs}
    assert "stderr" not in {output.get("name") for output in outputs}
    assert any("image/png" in output.get("data", {}) for output in outputs)


def test_there_are_five():
    assert [file.stem for file in SOURCES] == sorted(SMALL)
    assert len(list(FOLDER.glob("*.ipynb"))) == 5

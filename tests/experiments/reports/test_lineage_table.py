import base64
import io
import json
import re

import numpy as np
import pytest
from rich.console import Console

from evobourse.evolve.errors import EvolveError
from evobourse.evolve.lineage import Candidate
from evobourse.experiments.reports.ancestry import ancestry
from evobourse.experiments.reports.figures import figure_bytes
from evobourse.experiments.reports.lineage_page import render_page
from evobourse.experiments.reports.lineage_picture import draw_lineage
from evobourse.experiments.reports.lineage_table import summarise


def make(id_, generation, score, parents=(), failure=None, **genes):
    return Candidate(id_, generation, parents, {"society": genes}, None, (1,), score, {}, failure)


@pytest.fixture
def lineage():
    first = (("a1", 0.3), ("a0", 0.7))
    second = (("c0", 0.9), ("c1", 0.1))
    return [
        make("a0", 0, 4.0, temperature=1.0, activity=0.5, switching=0.1),
        make("a1", 0, 3.0, temperature=2.0, activity=0.5, switching=0.2),
        make("a2", 0, None, failure="path 2: constant price", temperature=0.0, activity=0.5),
        make("b0", 1, None, first, "out of memory", temperature=1.0, activity=0.5),
        make("c0", 2, 2.0, first, temperature=1.5, activity=0.6, switching=0.1),
        make("c1", 2, 2.5, first, temperature=1.2, activity=0.5, switching=0.1),
        make("d0", 3, 0.5, second, temperature=1.5, activity=0.9, switching=0.1),
    ]


def render(candidates, champion=None):
    console = Console(width=80, file=io.StringIO())
    console.print(summarise(candidates, champion))
    return console.file.getvalue()


def test_ancestry_follows_the_heaviest_parent_over_a_lost_generation(lineage):
    line = [(c.id, weight) for c, weight in ancestry(lineage, "d0")]
    assert line == [("d0", None), ("c0", 0.9), ("a0", 0.7)]


def test_ancestry_stops_at_a_parent_that_is_not_recorded(lineage):
    assert [c.id for c, _ in ancestry(lineage[4:], "d0")] == ["d0", "c0"]


@pytest.mark.parametrize("tell", [summarise, draw_lineage])
def test_a_champion_of_another_run_or_one_that_failed_is_refused(lineage, tell):
    with pytest.raises(EvolveError, match="'z9' is not among"):
        tell(lineage, "z9")
    with pytest.raises(EvolveError, match="a2 failed"):
        tell(lineage, "a2")


def test_the_summary_tells_scores_ancestors_and_moved_genes(lineage):
    text = render(lineage, "d0")
    lines = text.splitlines()
    assert lines[0] == "7 candidates, g000 to g003; 2 failed"
    assert lines[1] == "best training score  █ ▆▁  3.00 at first, 0.50 at last"  # b0 has none
    assert lines[2] == "champion d0, 0.50 when it was bred"
    assert lines[3].startswith("by its heaviest parents from a0, 2 steps ago")
    genes = [line.split() for line in lines[4:]]
    assert [row[-1] for row in genes] == ["society.activity", "society.temperature"]  # by share
    assert genes[0][:1] + genes[0][-4:-1] == ["100%", "0.5", "->", "0.9"]
    assert all(len(line) <= 80 for line in lines)


def test_the_summary_of_little(lineage):
    assert "no generation" in render([])
    assert "every candidate failed, the last with: path 2" in render(lineage[2:3])
    text = render(lineage[:3])
    assert "best so far a1" in text
    assert "moved most" not in text


def test_the_summary_of_much_is_ten_lines():
    genes = [f"g{i}" for i in range(30)]
    many = [
        make(f"c{n}", n, 500.0 - n, ((f"c{n - 1}", 1.0),) if n else (), **dict.fromkeys(genes, n))
        for n in range(300)
    ]
    lines = render(many, "c299").splitlines()
    assert len(lines) <= 10
    assert sum("society." in line for line in lines) == 5
    assert all(len(line) <= 80 for line in lines)


def test_every_candidate_is_drawn_and_heavy_parents_more_opaque(lineage):
    figure = draw_lineage(lineage, "d0")
    ax = figure.axes[0]
    dots, crosses = ax.lines[0], ax.lines[1]
    assert len(dots.get_xdata()) == 5
    assert len(crosses.get_xdata()) == 2
    alphas = {
        tuple(np.round(line.get_ydata(), 2)): line.get_alpha()
        for line in ax.lines
        if line.get_alpha() is not None and len(line.get_xdata()) == 2
    }
    assert alphas[2.0, 0.5] > alphas[2.5, 0.5]
    assert figure_bytes(figure).startswith(b"\x89PNG")


@pytest.mark.parametrize("kept", [slice(0, 0), slice(2, 3), slice(0, 2)])
def test_little_is_drawn_without_a_warning(lineage, kept):
    assert figure_bytes(draw_lineage(lineage[kept], None))


def page_data(candidates, champion=None, stopped=None):
    page = render_page(candidates, champion, "run", stopped)
    assert not re.search(r"(src|href)=", page)  # needs nothing else
    [text] = re.findall(r'<script id="data"[^>]*>(.*?)</script>', page, re.DOTALL)
    [said] = re.findall(r"<p>(.*?)</p>", page.partition("<section")[2].partition("<style>")[0])
    return {**json.loads(text), "said": said}


def test_the_page_holds_every_candidate_parent_and_gene(lineage):
    data = page_data(lineage, "d0", "all 4 generations are done")
    assert data["ids"] == [c.id for c in lineage]
    assert data["ids"][data["champion"]] == "d0"
    assert data["scores"] == [c.score for c in lineage]
    assert data["failures"] == {"2": "path 2: constant price", "3": "out of memory"}
    assert "has ended: all 4 generations are done" in data["said"]
    for i, candidate in enumerate(lineage):
        parents = [(data["ids"][p], w) for p, w in data["parents"][data["parentsOf"][i]]]
        assert parents == list(candidate.parents)
    steps = np.frombuffer(base64.b64decode(data["values"]), "<u2").reshape(len(lineage), -1)
    low, high = np.array(data["low"]), np.array(data["high"])
    values = low + steps / 65535 * (high - low)
    column = data["genes"].index("society.temperature")
    expected = [c.genome["society"]["temperature"] for c in lineage]
    np.testing.assert_allclose(values[:, column], expected, atol=1e-4)


def test_a_failure_cannot_end_the_page_and_choices_have_names(lineage):
    bad = make("a3", 0, None, failure="</script><b>", kind="bold")
    good = make("a4", 0, 9.0, kind="shy")
    data = page_data([bad, good])
    assert data["failures"] == {"0": "</script><b>"}
    assert data["choices"] == [["bold", "shy"]]
    assert "not ended" in data["said"]


def test_a_page_of_ten_thousand_is_small_and_of_none_refused():
    genes = {f"gene{i}": 0.1 * i for i in range(100)}
    many = [
        make(f"g{i // 20:03d}-s00-f{i % 20:02d}", i // 20, 1.0 + i, **genes) for i in range(10_000)
    ]
    assert len(render_page(many, None, "run", None)) < 5_000_000
    with pytest.raises(EvolveError, match="no candidate has a score"):
        render_page(many[:0], None, "run", None)


def test_genes_are_drawn_along_the_ancestry(lineage):
    figure = draw_lineage(lineage, "d0")
    labels = [label.get_text() for label in figure.axes[1].get_yticklabels()]
    assert labels == ["society.activity  0.5 -> 0.9", "society.temperature  1 -> 1.5"]


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
def test_keys_walk_the_tree_and_hold_two_candidates_side_by_side(lineage, browser, tmp_path, width):
    (tmp_path / "lineage.html").write_text(render_page(lineage, "d0", "run", None))
    page = browser.new_page(viewport={"width": width, "height": 900})
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto((tmp_path / "lineage.html").as_uri())
    shown = []
    for key in ("ArrowLeft", "ArrowDown", "ArrowLeft", "ArrowRight", "c", "ArrowRight"):
        page.keyboard.press(key)
        shown.append(page.evaluate("location.hash"))
    assert shown == ["#c0", "#c1", "#a0", "#c0", "#d0", "#d0"]
    page.keyboard.press("h")
    page.keyboard.press("ArrowLeft")
    assert page.inner_text("#genesTitle") == "Gene by gene, d0 (0.5) beside c0 (2)"
    row = page.inner_text("#genes tr:first-child").split()
    assert row == ["society.activity", "0.9", "0.6", "75", "%"]
    page.keyboard.press("/")
    page.keyboard.type("h")  # a letter to look for, no key
    assert page.get_attribute("#hold", "aria-pressed") == "true"
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert not complaints
    page.close()

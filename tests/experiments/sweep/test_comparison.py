import io
import json

import pytest
from rich.console import Console

from evobourse.evolve.errors import EvolveError, RunError
from evobourse.evolve.lineage import Candidate, Lineage
from evobourse.evolve.run_folder import RunFolder
from evobourse.experiments.config.experiment import (
    ExperimentConfig,
    MarketConfig,
    PersonaConfig,
    SearchConfig,
)
from evobourse.experiments.reports.figures import figure_bytes
from evobourse.experiments.sweep.comparison import (
    compare,
    draw_comparison,
    print_comparison,
    read_sweep,
)


def candidate(id_, generation, score, seeds=2, **genes):
    failure = None if score is not None else "constant price"
    genome = {"society": {"same": 1.0, **genes}}
    return Candidate(id_, generation, (), genome, None, tuple(range(seeds)), score, {}, failure)


def row(name, score, split="heldout"):
    return {"name": name, "asset": "sp500", "split": split, "score": score,
            "ci_low": score and 0.8 * score, "ci_high": score and 1.2 * score}  # fmt: skip


@pytest.fixture
def runs(tmp_path):
    def make(name, candidates, champion, rows, **market):
        run = RunFolder(tmp_path / name)
        run.path.mkdir()
        personas = (PersonaConfig("one"),)
        config = ExperimentConfig(
            name, personas=personas, market=MarketConfig(**market), search=SearchConfig()
        )
        run.config.write_text(config.to_yaml())
        Lineage(run.lineage).append(candidates)
        if champion:
            run.champion.write_text(json.dumps({"champion": champion}))
            run.scoreboard.write_text(json.dumps(rows))
        return run

    one = make(
        "one",
        [
            candidate("a0", 0, 4.0, temperature=1.0, kind="bold"),
            candidate("a1", 0, None, temperature=2.0, kind="bold"),
            candidate("b0", 1, 5.0, temperature=0.0, kind="shy"),
            candidate("b1", 1, 2.0, temperature=1.5, kind="shy"),
        ],
        "b1",
        [row("evolved", 2.0), row("evolved", 3.0, "train"), row("gbm", 6.0), row("fw", None)],
        agents=10,
        days=100,
    )
    other = make(
        "other",
        [candidate("a0", 0, 3.0, seeds=1, temperature=1.0, kind="bold", extra=7.0)],
        None,
        [],
        agents=20,
        days=100,
    )
    return read_sweep(one), read_sweep(other)


def test_decisions_count_agents_days_and_paths(runs):
    assert runs[0].decisions.tolist() == [2000, 4000, 6000, 8000]
    assert runs[1].decisions.tolist() == [2000]


def test_what_differs_is_lined_up(runs):
    found = compare(*runs)
    json.dumps(found, allow_nan=False)
    assert found["settings"] == {"name": ["one", "other"], "market.agents": [10, 20]}
    assert found["curves"][0] == {"decisions": [2000, 8000], "best": [4.0, 2.0]}
    assert [(r["name"], r["split"]) for r in found["scoreboard"]] == [
        ("evolved", "heldout"), ("gbm", "heldout"), ("fw", "heldout"), ("evolved", "train"),
    ]  # fmt: skip
    assert found["scoreboard"][0]["one"] == {"score": 2.0, "ci_low": 1.6, "ci_high": 2.4}
    assert found["scoreboard"][0]["other"] is None
    genes = {gene["gene"]: gene for gene in found["genes"]}
    assert list(genes) == ["society.kind", "society.temperature", "society.extra"]
    assert genes["society.temperature"]["share"] == 0.25  # 1.5 against 1.0, tried 0 to 2
    assert (genes["society.kind"]["one"], genes["society.kind"]["other"]) == ("shy", "bold")
    assert (genes["society.extra"]["one"], genes["society.extra"]["other"]) == (None, 7.0)


def test_the_same_run_twice_differs_in_nothing(runs):
    found = compare(runs[0], runs[0])
    assert found["settings"] == {}
    assert found["genes"] == []
    console = Console(width=100, file=io.StringIO())
    print_comparison(found, console)
    assert "all settings are the same" in console.file.getvalue()


def test_it_is_told_and_drawn(runs):
    console = Console(width=100, file=io.StringIO())
    print_comparison(compare(*runs), console)
    text = console.file.getvalue()
    for word in ("market.agents", "2.00 [1.60, 2.40]", "3 genes", "b1, training score 2.00"):
        assert word in text
    for pair in (runs, runs[::-1], (runs[1], runs[1])):
        assert figure_bytes(draw_comparison(*pair)).startswith(b"\x89PNG")
    steps = draw_comparison(*runs).axes[0].lines[0]
    assert steps.get_ydata().tolist() == [4.0, 4.0, 4.0, 2.0]


def test_what_cannot_be_compared_is_refused(tmp_path, runs):
    with pytest.raises(RunError, match="no run there"):
        read_sweep(RunFolder(tmp_path))
    lineage = runs[1].folder.lineage
    lineage.write_text("")
    with pytest.raises(RunError, match="no candidates yet"):
        read_sweep(runs[1].folder)
    Lineage(lineage).append([candidate("a0", 0, None)])
    with pytest.raises(EvolveError, match="no candidate has a score"):
        read_sweep(runs[1].folder)

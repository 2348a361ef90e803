import json
import subprocess
import sys
import time

import pytest

from evolve.errors import EvolveError
from evolve.lineage import Lineage
from evolve.loop import LINEAGE_FILE
from evolve.tracking import MlflowObserver, default_tracking_uri, log_lineage

DEAD = "http://127.0.0.1:9"


def runs_in(uri):
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    (experiment,) = client.search_experiments(filter_string="name = 'evobourse'")
    runs = list(client.search_runs([experiment.experiment_id], max_results=5000))
    parents = [run for run in runs if "evobourse.sweep" in run.data.tags]
    children = {r.data.tags["evobourse.candidate"]: r for r in runs if r not in parents}
    assert len(runs) == len(parents) + len(children)  # nothing is there twice
    return client, parents, children


def watched(sphere, folder, generations, **kwargs):
    observer = MlflowObserver(folder, params={"search": {"sigma": 0.6}}, **kwargs)
    sphere.run(folder, generations, observers=[observer])
    return observer.close()


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory):
    """An initialised database to copy: MLflow takes seconds to make one."""
    from evolve.mlflow_store import _connect

    folder = tmp_path_factory.mktemp("store")
    _connect(default_tracking_uri(folder))
    return folder / "mlflow.db"


@pytest.fixture
def folder(tmp_path, empty_store):
    (tmp_path / "mlflow.db").write_bytes(empty_store.read_bytes())
    return tmp_path


def test_a_sweep_is_a_parent_run_with_a_nested_run_per_candidate(sphere, folder):
    from matplotlib.figure import Figure

    assert watched(sphere, folder, 2, figure=lambda best: Figure()) is None
    client, (parent,), children = runs_in(default_tracking_uri(folder))
    assert parent.info.run_name == folder.name
    assert parent.info.status == "FINISHED"
    assert parent.data.params == {"search.sigma": "0.6"}
    candidates = Lineage(folder / LINEAGE_FILE).read()
    assert set(children) == {c.id for c in candidates}
    for candidate in candidates:
        run = children[candidate.id]
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert json.loads(run.data.tags["evobourse.parents"]) == [
            list(parent) for parent in candidate.parents
        ]
        assert float(run.data.params["minds.spread"]) == candidate.genome["minds"]["spread"]
        assert run.data.metrics.get("score") == candidate.score
        assert run.data.metrics.get("distance") == candidate.parts.get("distance")
        failed = candidate.failure is not None
        assert run.info.status == ("FAILED" if failed else "FINISHED")
        assert run.data.tags.get("evobourse.failure") == candidate.failure

    best = min((c for c in candidates if c.generation == 1 and c.score), key=lambda c: c.score)
    history = client.get_metric_history(parent.info.run_id, "best")
    assert [(m.step, m.value) for m in history][1] == (1, best.score)
    assert {"median", "failed", "sigma_slow", "sigma_fast"} < set(parent.data.metrics)
    artifacts = {a.path for a in client.list_artifacts(children[best.id].info.run_id)}
    assert artifacts == {"recipe.yaml", "best.png"}


def test_a_resumed_sweep_fills_the_gaps_and_logs_nothing_twice(sphere, folder):
    assert watched(sphere, folder, 1) is None
    sphere.run(folder, 2)  # generation 1 goes unseen
    assert watched(sphere, folder, 3) is None
    client, (parent,), children = runs_in(default_tracking_uri(folder))
    assert len(children) == 60
    # A candidate cut off half-way is finished, and the rest left alone.
    cut = children["g002-s03-f04"]
    client.update_run(cut.info.run_id, status="RUNNING")
    assert log_lineage(folder / LINEAGE_FILE) == 1
    assert log_lineage(folder / LINEAGE_FILE) == 0
    client, _, again = runs_in(default_tracking_uri(folder))
    assert {id_: run.info.run_id for id_, run in again.items()} == {
        id_: run.info.run_id for id_, run in children.items()
    }
    history = client.get_metric_history(parent.info.run_id, "failed")
    assert [metric.step for metric in history] == [0, 1, 2]


def test_a_store_is_made_from_the_file_alone(sphere, folder):
    sphere.run(folder, 2)
    assert log_lineage(folder / LINEAGE_FILE, run_name="again") == 40
    _, (parent,), children = runs_in(default_tracking_uri(folder))
    assert parent.info.run_name == "again"
    assert len(children) == 40


def test_a_dead_server_costs_nothing(sphere, tmp_path):
    started = time.perf_counter()
    trouble = watched(sphere, tmp_path, 3, tracking_uri=DEAD)
    assert time.perf_counter() - started < 8
    assert "60 candidates not logged" in trouble
    assert "\n" not in trouble
    assert len(Lineage(tmp_path / LINEAGE_FILE).read()) == 60
    with pytest.raises(EvolveError, match="can be run again") as caught:
        log_lineage(tmp_path / LINEAGE_FILE, tracking_uri=DEAD)
    assert "\n" not in str(caught.value)


def test_a_server_that_comes_back_gets_everything(sphere, folder, monkeypatch):
    from evolve.mlflow_store import SweepStore

    log = SweepStore.log_generation
    calls = []

    def unreliable(self, candidates, sigmas):
        calls.append(candidates[0].generation)
        if len(calls) in (1, 2):
            raise ConnectionError("gone")
        return log(self, candidates, sigmas)

    monkeypatch.setattr(SweepStore, "log_generation", unreliable)
    observer = MlflowObserver(folder)

    class SlowDown:  # so that each generation is an attempt of its own
        on_progress = observer.on_progress

        def on_generation(self, generation, candidates, search):
            observer.on_generation(generation, candidates, search)
            while len(calls) <= generation:
                time.sleep(0.01)

    sphere.run(folder, 3, observers=[SlowDown()])
    assert observer.close() is None
    assert len(runs_in(default_tracking_uri(folder))[2]) == 60


def test_a_figure_that_fails_is_counted_and_costs_no_candidate(sphere, folder):
    def broken(best):
        raise ZeroDivisionError("no price path")

    trouble = watched(sphere, folder, 2, figure=broken)
    assert "2 artifacts not logged" in trouble
    assert "ZeroDivisionError" in trouble
    assert len(runs_in(default_tracking_uri(folder))[2]) == 40


def test_an_empty_lineage_is_refused(tmp_path):
    with pytest.raises(EvolveError, match="no candidates"):
        log_lineage(tmp_path / LINEAGE_FILE)


def test_importing_is_light_and_logging_is_silent(sphere, folder):
    sphere.run(folder, 1)
    (folder / "mlflow.db").unlink()  # creating the tables is when MLflow talks most
    code = (
        "import sys; from evolve import tracking, loop, search\n"
        "heavy = {'mlflow', 'cma', 'torch', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        f"tracking.log_lineage({str(folder / LINEAGE_FILE)!r})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=folder
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert {path.name for path in folder.iterdir()} == {
        "checkpoint", "lineage.jsonl", "mlflow.db", "mlflow-artifacts",
    }  # fmt: skip

import fcntl
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

from evobourse.evolve.errors import EvolveError
from evobourse.evolve.lineage import Lineage
from evobourse.evolve.run_folder import RunFolder
from evobourse.evolve.tracking.follower import MlflowTracker, View, default_tracking_uri, log_run
from tests.held_sweep import held, kill_when

DEAD = "http://127.0.0.1:9"
LEAN = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
SCRIPT = Path(__file__).parents[1] / "sphere_sweep.py"


def runs_in(uri):
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    (experiment,) = client.search_experiments(filter_string="name = 'evobourse'")
    runs = list(client.search_runs([experiment.experiment_id], max_results=5000))
    parents = [run for run in runs if "evobourse.sweep" in run.data.tags]
    children = {r.data.tags["evobourse.candidate"]: r for r in runs if r not in parents}
    assert len(runs) == len(parents) + len(children)  # nothing is there twice
    return client, parents, children


def view(folder, **changes):
    return View.of(RunFolder(folder), params={"search": {"sigma": 0.6}}, **changes)


def watched(sphere, folder, generations, figure=None, **kwargs):
    tracker = MlflowTracker(view(folder, **kwargs), figure)
    sphere.run(folder, generations)
    return tracker.close()


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory):
    """An initialised database to copy: MLflow takes seconds to make one."""
    from evobourse.evolve.tracking.mlflow_store import _connect

    folder = tmp_path_factory.mktemp("store")
    _connect(default_tracking_uri(RunFolder(folder)))
    return folder / "mlflow.db"


@pytest.fixture
def folder(tmp_path, empty_store):
    (tmp_path / "mlflow.db").write_bytes(empty_store.read_bytes())
    return tmp_path


def test_a_sweep_is_a_parent_run_with_a_nested_run_per_candidate(sphere, folder):
    from matplotlib.figure import Figure

    assert watched(sphere, folder, 2, figure=lambda best: Figure()) is None
    client, (parent,), children = runs_in(default_tracking_uri(RunFolder(folder)))
    assert parent.info.run_name == folder.name
    assert parent.info.status == "FINISHED"
    assert parent.data.params == {"search.sigma": "0.6"}
    assert parent.data.tags["evobourse.stopped"] == "all 2 generations are done"
    assert "**40 candidates**" in parent.data.tags["mlflow.note.content"]
    candidates = Lineage(RunFolder(folder).lineage).read()
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
        history = client.get_metric_history(run.info.run_id, "score")
        assert [point.step for point in history] == [] if failed else [candidate.generation]

    alive = [[c for c in candidates if c.generation == g and c.score] for g in (0, 1)]
    bests = [min(group, key=lambda c: c.score) for group in alive]
    history = client.get_metric_history(parent.info.run_id, "best")
    assert [(m.step, m.value) for m in history] == [(c.generation, c.score) for c in bests]
    assert {"median", "failed", "sigma_slow", "sigma_fast", "seconds"} < set(parent.data.metrics)
    artifacts = {a.path for a in client.list_artifacts(children[bests[0].id].info.run_id)}
    assert artifacts == {"recipe.yaml", "best.png"}
    assert {a.path for a in client.list_artifacts(parent.info.run_id, "recipes")} == {
        "recipes/g000.yaml", "recipes/g001.yaml",
    }  # fmt: skip
    records = {id_ for id_, run in children.items() if "evobourse.record" in run.data.tags}
    assert records == {bests[0].id} | ({bests[1].id} if bests[1].score < bests[0].score else set())


def test_a_view_grows_with_the_files_and_nothing_is_logged_twice(sphere, folder):
    new = []
    for generations in (1, 3, 3):
        sphere.run(folder, generations)
        new.append(log_run(view(folder, run_name="again")))
    assert new == [20, 40, 0]
    client, (parent,), children = runs_in(default_tracking_uri(RunFolder(folder)))
    assert parent.info.run_name == "again"
    assert len(children) == 60
    history = client.get_metric_history(parent.info.run_id, "failed")
    assert [metric.step for metric in history] == [0, 1, 2]


def test_a_dead_server_costs_nothing(sphere, tmp_path):
    tracker = MlflowTracker(view(tmp_path, tracking_uri=DEAD))
    started = time.process_time()
    sphere.run(tmp_path, 3)
    assert time.process_time() - started < 5
    trouble = tracker.close()
    assert "60 candidates not logged" in trouble
    assert "evobourse track" in trouble
    assert "\n" not in trouble
    assert len(Lineage(RunFolder(tmp_path).lineage).read()) == 60
    with pytest.raises(EvolveError, match="can be run again") as caught:
        log_run(view(tmp_path, tracking_uri=DEAD))
    assert "\n" not in str(caught.value)


@contextmanager
def mlflow_server(folder, port):
    """Run a real server on the loopback, and stop it without a goodbye."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--workers", "1",
               "--port", str(port), "--backend-store-uri", default_tracking_uri(RunFolder(folder)),
               "--artifacts-destination", str(folder / "artifacts")]  # fmt: skip
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, **LEAN},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield
    finally:
        os.killpg(process.pid, 9)
        process.wait()


def test_a_server_stopped_and_started_again_gets_everything(
    sphere, folder, empty_store, tmp_path_factory
):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    run = tmp_path_factory.mktemp("run")
    there = view(run, tracking_uri=f"http://127.0.0.1:{port}")

    class StopAndStart:
        """Stops the server when it has seen a generation, starts it again two later."""

        def __init__(self):
            self.server = mlflow_server(folder, port)
            self.server.__enter__()

        def on_progress(self, *_):
            pass

        def on_generation(self, generation, candidates, search):
            if generation == 0:
                until = time.monotonic() + 60
                while not logged() and time.monotonic() < until:
                    time.sleep(0.1)
                self.server.__exit__(None, None, None)
            if generation == 2:
                self.server = mlflow_server(folder, port)
                self.server.__enter__()

    def logged():
        import sqlite3

        with sqlite3.connect(folder / "mlflow.db") as database:
            return database.execute("select count(*) from runs").fetchone()[0] > 3

    observer = StopAndStart()
    try:
        tracker = MlflowTracker(there)
        sphere.run(run, 4, observers=[observer])
        assert tracker.close() is None
    finally:
        observer.server.__exit__(None, None, None)
    # What a server was sent and what goes straight into a database look alike.
    _, (parent,), through_server = runs_in(default_tracking_uri(RunFolder(folder)))
    assert parent.info.status == "FINISHED"
    assert len(through_server) == 80
    (run / "mlflow.db").write_bytes(empty_store.read_bytes())
    assert log_run(view(run)) == 80
    _, _, direct = runs_in(default_tracking_uri(RunFolder(run)))
    for id_, one in through_server.items():
        other = direct[id_]
        for part in ("params", "metrics"):
            assert getattr(one.data, part) == getattr(other.data, part)
        assert one.info.status == other.info.status
        assert (one.info.start_time, one.info.end_time) == (
            other.info.start_time,
            other.info.end_time,
        )
        assert set(one.data.tags) == set(other.data.tags)


def test_a_killed_sweep_and_its_view_are_whole_after_a_resume(sphere, folder, tmp_path_factory):
    uninterrupted = tmp_path_factory.mktemp("uninterrupted")
    sphere.run(uninterrupted, 6)
    command = [sys.executable, str(SCRIPT), str(folder), "6", "tracked"]
    path, half = RunFolder(folder).lineage, RunFolder(uninterrupted).lineage.stat().st_size / 2
    kill_when(
        lambda: path.exists() and path.stat().st_size >= half,
        subprocess.Popen(held(command, folder, 5)),
    )
    assert path.stat().st_size < 2 * half
    subprocess.run(command, check=True)
    assert path.read_bytes() == RunFolder(uninterrupted).lineage.read_bytes()
    client, (parent,), children = runs_in(default_tracking_uri(RunFolder(folder)))
    assert set(children) == {c.id for c in Lineage(path).read()}
    assert parent.info.status == "FINISHED"
    history = client.get_metric_history(parent.info.run_id, "candidates")
    assert [(point.step, point.value) for point in history] == [(g, 20) for g in range(6)]


def test_a_full_disk_under_the_timings_costs_their_figures_alone(sphere, folder):
    RunFolder(folder).timings.symlink_to("/dev/full")
    assert watched(sphere, folder, 2) is None
    _, (parent,), children = runs_in(default_tracking_uri(RunFolder(folder)))
    assert len(children) == 40
    assert "best" in parent.data.metrics
    assert "sigma_slow" not in parent.data.metrics


def test_a_figure_that_fails_is_counted_and_costs_no_candidate(sphere, folder):
    def broken(best):
        raise ZeroDivisionError("no price path")

    sphere.run(folder, 1)
    tracker = MlflowTracker(view(folder), broken)
    trouble = tracker.close()
    assert "1 artifacts not logged" in trouble
    assert "ZeroDivisionError" in trouble
    assert len(runs_in(default_tracking_uri(RunFolder(folder)))[2]) == 20


def test_an_empty_lineage_and_a_running_sweep_are_refused(sphere, tmp_path):
    with pytest.raises(EvolveError, match="no candidates"):
        log_run(view(tmp_path))
    sphere.run(tmp_path, 1)
    with RunFolder(tmp_path).lineage.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(EvolveError, match="logged by its own sweep"):
            log_run(view(tmp_path))


def test_importing_is_light_and_logging_is_silent(sphere, folder):
    sphere.run(folder, 1)
    (folder / "mlflow.db").unlink()  # creating the tables is when MLflow talks most
    code = (
        "import sys; from pathlib import Path\n"
        "from evobourse.evolve import loop, run_folder\n"
        "from evobourse.evolve.searches import search\n"
        "from evobourse.evolve.tracking import follower as tracking\n"
        "heavy = {'mlflow', 'cma', 'torch', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        f"tracking.log_run(tracking.View.of(run_folder.RunFolder(Path({str(folder)!r}))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=folder
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert {path.name for path in folder.iterdir()} == {
        "checkpoint", "lineage.jsonl", "mlflow.db", "mlflow-artifacts", "stopped.json",
        "timings.jsonl",
    }  # fmt: skip


def test_a_run_whose_path_means_something_to_an_address_is_logged_in_its_folder(sphere, tmp_path):
    folder = tmp_path / "what?" / "50% #1"
    sphere.run(folder, 1)
    assert log_run(view(folder)) == 20
    assert (folder / "mlflow.db").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["what?"]
    assert {path.name for path in (tmp_path / "what?").iterdir()} == {"50% #1"}
    _, (parent,), children = runs_in(default_tracking_uri(RunFolder(folder)))
    assert parent.info.run_name == "50% #1"
    assert len(children) == 20


def test_a_deleted_experiment_is_said_with_the_command_that_restores_it(sphere, folder):
    from mlflow import MlflowClient

    sphere.run(folder, 1)
    assert log_run(view(folder)) == 20
    uri = default_tracking_uri(RunFolder(folder))
    client = MlflowClient(uri)
    client.delete_experiment("1")
    said = "experiment 'evobourse' was deleted there; take it back: MLFLOW_TRACKING_URI=.* "
    said += "mlflow experiments restore --experiment-id 1"
    with pytest.raises(EvolveError, match=said):
        log_run(view(folder))
    assert "experiments restore --experiment-id 1" in watched(sphere, folder, 2)
    client.restore_experiment("1")
    assert log_run(view(folder)) == 20

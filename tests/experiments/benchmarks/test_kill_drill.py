"""The same lineage whoever works and whatever dies: small drills on the real market."""

import os
import re
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from evobourse.evolve.errors import RunError
from evobourse.evolve.executors import ray_actors as ray_executor
from evobourse.evolve.loop import LINEAGE_FILE
from evobourse.experiments.benchmarks.drilled_sweep import (
    INTERRUPTED,
    TEACHERS,
    Session,
    family_of,
    kill,
    orphans,
    sweep,
    worker_ids,
)
from evobourse.experiments.benchmarks.kill_drill import (
    IN_PROCESS,
    PROCESSES,
    kill_driver,
)

ROOT = Path(__file__).parents[3]
SMALL = ("search.generations=3", "search.slow_every=2", "search.fast_count=4")


def run(folder, *overrides, observers=()):
    sweep(folder, TEACHERS, [*SMALL, *overrides], observers)
    return (folder / LINEAGE_FILE).read_bytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The lineage of the small sweep, all in process and undisturbed."""
    return run(tmp_path_factory.mktemp("whole"), *IN_PROCESS)


class Strike:
    """Does something once, in the middle of each generation."""

    def __init__(self, *blows):
        self.blows = list(blows)

    def on_progress(self, generation, done, total, best):
        if self.blows and done >= total / 2 and generation >= 3 - len(self.blows):
            self.blows.pop(0)()

    def on_generation(self, generation, candidates, search):
        """Nothing to do."""


def kill_one_worker():
    assert kill(worker_ids(os.getpid())[0])


def test_two_processes_give_the_same_lineage_though_one_is_killed(whole, tmp_path):
    strike = Strike(kill_one_worker)
    assert run(tmp_path, *PROCESSES, observers=[strike]) == whole
    assert not strike.blows


def test_four_market_processes_beside_local_minds_give_the_same_lineage(whole, tmp_path):
    assert run(tmp_path, "workers=4") == whole


STORE = {"object_store_memory": 80 * 2**20}


@pytest.fixture(scope="module")
def cluster():
    """A Ray cluster of a head that does no work and one node of one core, a GPU and two slices.

    Devices are names to Ray: it hands them out without looking for them.
    """
    import ray
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "include_dashboard": False, **STORE}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        cluster.add_node(num_cpus=1, num_gpus=1, resources={"mig-1g.10gb": 2}, **STORE)
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


def test_actors_share_gpus_and_take_slices_and_use_nodes_that_join(cluster, monkeypatch):
    monkeypatch.setattr(ray_executor, "_COUNT_SECONDS", 0.0)
    quarter = ray_executor.ray_actors(0, cluster.address, num_cpus=0.1, num_gpus=0.25)
    with closing(quarter):
        assert quarter.workers == 4
        assert quarter.submit(os.getenv, "CUDA_VISIBLE_DEVICES").result() == "0"
    slices = {"mig-1g.10gb": 1}
    sliced = ray_executor.ray_actors(0, cluster.address, num_cpus=0.1, resources=slices)
    with closing(sliced):
        assert sliced.workers == 2
        node = cluster.add_node(num_cpus=1, resources={"mig-1g.10gb": 1}, **STORE)
        cluster.wait_for_nodes()
        assert sliced.workers == 3
    cluster.remove_node(node)


def test_a_ray_cluster_gives_the_same_lineage_while_actors_and_nodes_come_and_go(
    whole, cluster, tmp_path
):
    [first] = [node for node in cluster.list_all_nodes() if node != cluster.head_node]

    def exchange_nodes():
        cluster.add_node(num_cpus=1, **STORE)
        cluster.remove_node(first, allow_graceful=False)

    strike = Strike(kill_one_worker, exchange_nodes)
    there = (f"executor.address={cluster.address}", "executor.kind=ray", "workers=2")
    assert run(tmp_path, *there, observers=[strike]) == whole
    assert not strike.blows


def test_killed_drivers_leave_no_process_and_lose_nothing(whole, tmp_path):
    rng = np.random.default_rng(5)
    settings = (*SMALL, *PROCESSES)
    [lineage], left = kill_driver(tmp_path, 1, rng, 1.0, TEACHERS, *settings)
    assert lineage == whole
    assert left == 0


def test_ctrl_c_leaves_a_run_that_resumes_and_no_process(whole, tmp_path):
    session = Session.start(tmp_path, TEACHERS, *SMALL, *PROCESSES, hold=2)
    session.begun()
    while session.process.poll() is None and not worker_ids(session.process.pid):
        time.sleep(0.05)
    family = family_of(session.process.pid)
    os.killpg(session.process.pid, 2)  # all that a terminal's Ctrl-C reaches
    assert session.finish() == (INTERRUPTED, "")
    assert orphans(family) == 0
    assert run(tmp_path, *IN_PROCESS) == whole


def test_a_disk_that_fills_up_is_one_line_and_loses_nothing(whole, tmp_path):
    limit = len(whole) * 4 // 5
    session = Session.start(tmp_path, TEACHERS, *SMALL, *IN_PROCESS, file_limit=limit)
    code, said = session.finish()
    assert code == 2
    assert re.fullmatch(r"cannot write \S+: File too large; .*resume the run\n", said)
    kept = (tmp_path / LINEAGE_FILE).read_bytes()
    assert 0 < len(kept) <= limit
    assert whole.startswith(kept)
    waiting = tmp_path / "checkpoint" / ".state.pickle.new"
    waiting.symlink_to("/dev/full")
    with pytest.raises(RunError, match="No space left on device"):
        run(tmp_path, *IN_PROCESS)
    waiting.unlink(missing_ok=True)
    assert run(tmp_path, *IN_PROCESS) == whole


def test_an_address_where_nobody_is_is_one_line_and_exit_code_2(tmp_path):
    command = [sys.executable, "-m", "evobourse.experiments.cli.main", "evolve"]
    command += [str(ROOT / "experiments" / "quickstart.yaml"), "--run", "run", "--workers", "2"]
    command += ["--executor", "ray", "--address", "127.0.0.1:1"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert re.fullmatch(
        r"evobourse: executor ray: nobody .* address '127.0.0.1:1' .*\n", done.stderr
    )

"""The manifests of a Ray cluster on Kubernetes: their schema, and what Ray itself reads in them."""

import copy
import shlex
from itertools import pairwise
from pathlib import Path

import jsonschema
import pytest
import yaml

from evobourse import experiments
from evobourse.experiments.config.experiment import load_config

PLACE = Path(experiments.__file__).parent
SCHEMA = yaml.safe_load(Path(__file__).with_name("kuberay_schema.yaml").read_text())
MANIFESTS = {path.stem: yaml.safe_load(path.read_text()) for path in PLACE.glob("cluster/*.yaml")}
REQUIREMENTS = (Path(__file__).parents[2] / "pyproject.toml").read_text()


def cluster_of(manifest):
    spec = manifest["spec"]
    return spec if manifest["kind"] == "RayCluster" else spec["rayClusterSpec"]


def rooms(manifest):
    """Let Ray's own autoscaler say what a node of each group has room for."""
    from ray.autoscaler._private.kuberay.autoscaling_config import (
        _derive_autoscaling_config_from_ray_cr,
    )

    read = {"metadata": manifest["metadata"], "spec": cluster_of(manifest)}
    types = _derive_autoscaling_config_from_ray_cr(read)["available_node_types"]
    return {name: node["resources"] for name, node in types.items()}


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests_are_what_kuberay_takes(name):
    manifest = MANIFESTS[name]
    jsonschema.validate(manifest, SCHEMA)
    cluster = cluster_of(manifest)
    assert f'ray = ["ray=={cluster["rayVersion"].rpartition(".")[0]}.*"]' in REQUIREMENTS
    image = (PLACE / "cluster" / "Dockerfile").read_text()
    assert f"rayproject/ray:{cluster['rayVersion']}-py311" in image
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        mounted = {m["name"] for c in pod["containers"] for m in c.get("volumeMounts", [])}
        assert mounted <= {volume["name"] for volume in pod.get("volumes", [])}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda spec: spec["workerGroupSpecs"][0].pop("maxReplicas"),
        lambda spec: spec["headGroupSpec"]["rayStartParams"].update({"num-cpus": 0}),
        lambda spec: spec["workerGroupSpecs"][0].update(maxReplica=3),
        lambda spec: spec["autoscalerOptions"].update(idleTimeoutSeconds="300"),
    ],
)
def test_the_schema_refuses_what_the_api_server_would(spoil):
    manifest = copy.deepcopy(MANIFESTS["cluster"])
    spoil(manifest["spec"])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(manifest, SCHEMA)


@pytest.mark.parametrize("name", MANIFESTS)
def test_ray_finds_the_slices_that_pods_are_given(name):
    cluster, found = cluster_of(MANIFESTS[name]), rooms(MANIFESTS[name])
    assert found["headgroup"]["CPU"] == 0  # no actor may land beside the driver
    for group in cluster["workerGroupSpecs"]:
        limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
        given = {key.partition("/")[2]: n for key, n in limits.items() if "nvidia.com/" in key}
        has = found[group["groupName"]]
        whole = given.pop("gpu", 0)
        assert has.get("GPU", 0) == whole + sum(given.values())
        assert {key: has.get(key) for key in given} == given


def test_the_jobs_command_is_a_config_whose_actors_fit_a_worker():
    job = MANIFESTS["evolve-job"]
    words = shlex.split(job["spec"]["entrypoint"])
    assert words[:2] == ["evobourse", "evolve"]
    options = dict(zip(words[3::2], words[4::2], strict=True))
    assert options["--executor"] == "ray"
    overrides = [word for before, word in pairwise(words) if before == "--set"]
    config = load_config(PLACE.parent / words[2], overrides)
    [group] = cluster_of(job)["workerGroupSpecs"]
    room = rooms(job)[group["groupName"]]
    asked = {"CPU": config.executor.num_cpus, "GPU": config.executor.num_gpus}
    asked |= config.executor.resources
    assert all(room[name] >= amount for name, amount in asked.items())
    assert int(options["--workers"]) == group["maxReplicas"]

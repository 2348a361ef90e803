"""Workers that are Ray actors, on one machine or on a cluster whose nodes come and go.

Ray is imported when it is used.
"""

from __future__ import annotations

import importlib
import math
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

from evobourse.evolve.errors import EvolveError
from evobourse.evolve.executors.worker_pool import (
    WorkerLost,
    WorkerPool,
    attempt,
    settle,
    settle_in,
)

OBJECT_STORE_BYTES = 200 * 2**20
"""Of a Ray that is started here; tasks and results are small."""
_CONNECT_SECONDS = 5.0
_COUNT_SECONDS = 5.0


def ray_actors(
    workers: int,
    address: str | None = None,
    num_cpus: float = 1.0,
    num_gpus: float = 0.0,
    resources: Mapping[str, float] | None = None,
) -> WorkerPool:
    """Connect to Ray, or start it here, and make an executor of its actors.

    Parameters
    ----------
    workers
        Actors; those that have no room yet wait for a node to join (and make an autoscaler add
        one). 0: as many as the cluster has room for, now and later.
    address
        ``auto`` or ``host:port`` of a running cluster's head; None starts one here.
    num_cpus, num_gpus, resources
        What an actor asks of its node; a GPU may be shared, as in 0.25, and a slice of one be a
        custom resource, as in ``{"mig-1g.10gb": 1}``.

    Raises
    ------
    EvolveError
        Ray is not installed, or nobody answers at the address.
    """
    try:
        ray: Any = importlib.import_module("ray")
    except ImportError as error:
        raise EvolveError(
            "executor ray: Ray is not installed; pip install 'evobourse[ray]', or use the "
            "executor processes"
        ) from error
    ours = not ray.is_initialized()
    if ours:
        _connect(ray, address, workers)
    own = dict(resources or {})
    asked = {"num_cpus": num_cpus, "num_gpus": num_gpus, "resources": own}
    room = _Room(ray, {"CPU": num_cpus, "GPU": num_gpus, **own})
    return WorkerPool(
        lambda: ActorWorker(ray, asked),
        (lambda: workers) if workers else room.count,
        ray.shutdown if ours else lambda: None,
    )


class Servant:
    """What runs in an actor's process."""

    def __init__(self) -> None:
        settle_in()

    def ready(self) -> None:
        """Return as soon as the actor is there."""

    def attempt(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """Carry out a call, see `evolve.executors.worker_pool.attempt`."""
        return attempt(function, arguments)


class ActorWorker:
    """One actor, made when a node has room for it."""

    def __init__(self, ray: Any, asked: Mapping[str, Any]) -> None:
        self._ray = ray
        self._actor = ray.remote(Servant).options(**asked, max_restarts=0).remote()

    def ready(self) -> None:
        """Wait for a node with room."""
        self._get(self._actor.ready.remote())

    def call(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """Carry out a call."""
        return settle(self._get(self._actor.attempt.remote(function, arguments)))

    def _get(self, answer: Any) -> Any:
        try:
            return self._ray.get(answer)
        except self._ray.exceptions.RayTaskError:  # could not even be unpacked there
            raise
        except self._ray.exceptions.RayError as error:
            raise WorkerLost(str(error).partition("\n")[0]) from error
        except SystemExit as error:  # so Ray ends a thread that still waits when it shuts down
            raise WorkerLost("Ray has shut down") from error

    def stop(self) -> None:
        """Kill the actor."""
        if self._ray.is_initialized():
            self._ray.kill(self._actor)


class _Room:
    """How many actors a cluster has room for; asked anew every few seconds."""

    def __init__(self, ray: Any, asked: Mapping[str, float]) -> None:
        self._ray = ray
        self._asked = {name: amount for name, amount in asked.items() if amount > 0}
        self._counted, self._until = 1, -math.inf

    def count(self) -> int:
        now = time.monotonic()
        if now >= self._until:
            has = self._ray.cluster_resources()
            rooms = [has.get(name, 0.0) / amount for name, amount in self._asked.items()]
            self._counted = max(1, int(min(rooms, default=1.0) + 1e-9))
            self._until = now + _COUNT_SECONDS
        return self._counted


def _connect(ray: Any, address: str | None, workers: int) -> None:
    quiet = {"log_to_driver": False, "logging_level": "CRITICAL"}
    if address is None:
        ray.init(
            address="local",
            num_cpus=workers or None,
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            **quiet,
        )
        return
    try:
        _knock(address)
        ray.init(address=address, **quiet)
    except (OSError, ValueError, RuntimeError) as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise EvolveError(
            f"executor ray: nobody to work with at address {address!r} ({why}); start a cluster "
            "with 'ray start --head', give its head's host:port, or leave the address out"
        ) from error


def _knock(address: str) -> None:
    """See in seconds whether anybody listens; Ray by itself tries for minutes."""
    if address == "auto":
        return
    host, colon, port = address.rpartition(":")
    if "//" in address or not colon or not port.isdigit():
        raise ValueError("expected auto or host:port")
    socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()

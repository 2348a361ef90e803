"""Finished runs into an MLflow store, many at once where the store allows it.

One transaction for a database that is written from here, three calls a run for a server; every
error of MLflow passes through.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PARAMS_A_BATCH = 100  # MLflow's limit, as are the two below
_PARAM_CHARACTERS = 6000
_TAG_CHARACTERS = 8000


@dataclass(frozen=True)
class FinishedRun:
    """All of a run that is over; names as MLflow allows them.

    Attributes
    ----------
    name : str
    status : str
        FINISHED or FAILED.
    tags, params : mapping of str to str
        Cut to what MLflow allows.
    metrics : mapping of str to float
        Finite.
    step : int
        Of the metrics.
    started_ms, ended_ms : int
        Milliseconds since 1970; the metrics bear the end.
    """

    name: str
    status: str
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    step: int
    started_ms: int
    ended_ms: int


def write_runs(client: Any, experiment: Any, runs: Sequence[FinishedRun]) -> list[str]:
    """Write runs into one of MLflow's experiments and return their ids, in order.

    A database takes all of them or none. A server may keep some, and one of them unfinished.
    """
    store = _database(client)
    if store is not None:
        return _insert(store, experiment, runs)
    return [_send(client, experiment.experiment_id, run) for run in runs]


def write_point(
    client: Any, run_id: str, metrics: Mapping[str, float], step: int, ended_ms: int
) -> None:
    """Write a further point, finite, of each of a run's metrics."""
    from mlflow.entities import Metric

    store = _database(client)
    if store is None:
        fresh = [Metric(name, value, ended_ms, step) for name, value in metrics.items()]
        client.log_batch(run_id, metrics=fresh)
        return
    from mlflow.store.tracking.dbmodels.models import SqlLatestMetric, SqlMetric

    latest = SqlLatestMetric.__table__
    before = latest.delete().where(latest.c.run_uuid == run_id, latest.c.key.in_(metrics))
    points = _points(run_id, metrics, step, ended_ms)
    with store.ManagedSessionMaker(read_only=False) as session:
        session.execute(before)
        session.execute(latest.insert(), points)
        session.execute(SqlMetric.__table__.insert(), points)


def _database(client: Any) -> Any:
    """Return the store that a client writes to by itself; None where a server does."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    store = client._tracking_client.store
    return store if isinstance(store, SqlAlchemyStore) else None


def _points(
    run_id: str, metrics: Mapping[str, float], step: int, ended_ms: int
) -> list[dict[str, Any]]:
    """Make the rows of both of MLflow's tables of metrics."""
    same = {"run_uuid": run_id, "timestamp": ended_ms, "step": step, "is_nan": False}
    return [{**same, "key": key, "value": value} for key, value in metrics.items()]


def _insert(store: Any, experiment: Any, runs: Sequence[FinishedRun]) -> list[str]:
    """Insert the rows that MLflow's own calls make one by one, for a tenth of the time."""
    from mlflow.store.tracking.dbmodels.models import (
        SqlLatestMetric,
        SqlMetric,
        SqlParam,
        SqlRun,
        SqlTag,
    )

    ids = [_run_id() for _ in runs]
    rows: dict[Any, list[dict[str, Any]]] = {
        model: [] for model in (SqlRun, SqlTag, SqlParam, SqlMetric, SqlLatestMetric)
    }
    for id_, run in zip(ids, runs, strict=True):
        rows[SqlRun].append(
            {
                "run_uuid": id_,
                "name": run.name,
                "experiment_id": int(experiment.experiment_id),
                "artifact_uri": f"{experiment.artifact_location}/{id_}/artifacts",
                "source_type": "UNKNOWN",
                "source_name": "",
                "source_version": "",
                "entry_point_name": "",
                "user_id": "unknown",
                "status": run.status,
                "start_time": run.started_ms,
                "end_time": run.ended_ms,
                "deleted_time": None,
                "lifecycle_stage": "active",
            }
        )
        tags = {**run.tags, "mlflow.runName": run.name}
        rows[SqlTag] += [
            {"run_uuid": id_, "key": key, "value": value[:_TAG_CHARACTERS]}
            for key, value in tags.items()
        ]
        rows[SqlParam] += [
            {"run_uuid": id_, "key": key, "value": value[:_PARAM_CHARACTERS]}
            for key, value in run.params.items()
        ]
        points = _points(id_, run.metrics, run.step, run.ended_ms)
        rows[SqlMetric] += points
        rows[SqlLatestMetric] += points
    with store.ManagedSessionMaker(read_only=False) as session:
        for model, of_model in rows.items():
            if of_model:
                # of its table, since the mapper's insert takes as long again
                session.execute(model.__table__.insert(), of_model)
    return ids


def _run_id() -> str:
    """Make an id that no run has, and that follows those before: indexes grow at their ends."""
    return f"{time.time_ns():016x}{secrets.token_hex(8)}"


def _send(client: Any, experiment_id: str, run: FinishedRun) -> str:
    from mlflow.entities import Metric, Param

    tags = {key: value[:_TAG_CHARACTERS] for key, value in run.tags.items()}
    created = client.create_run(experiment_id, run.started_ms, tags, run.name)
    id_ = str(created.info.run_id)
    metrics = [Metric(k, value, run.ended_ms, run.step) for k, value in run.metrics.items()]
    params = [Param(key, value[:_PARAM_CHARACTERS]) for key, value in run.params.items()]
    for start in range(0, max(len(params), 1), PARAMS_A_BATCH):
        batch = params[start : start + PARAMS_A_BATCH]
        client.log_batch(id_, metrics=metrics if start == 0 else [], params=batch)
    client.set_terminated(id_, run.status, run.ended_ms)
    return id_

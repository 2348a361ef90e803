"""A sweep in an MLflow store: a parent run, and one nested run per candidate.

Knows: MLflow's client, how a candidate maps to tags, params, metrics, artifacts; what is there.
Does not know: threads, retries, or when to log; every error of MLflow passes through.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import re
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import yaml

from evolve.lineage import Candidate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FigureMaker = Callable[[Candidate], "Figure | None"]

_PARAMS_A_BATCH = 100  # MLflow's limit
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # A dead server is tried again with the next generation, not for minutes on end.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}


def digest_of(candidate: Candidate) -> str:
    """Return what identifies a candidate in any store: a hash of its line in the lineage."""
    return hashlib.sha256(candidate.to_json().encode()).hexdigest()[:32]


class SweepStore:
    """One sweep's runs in an MLflow store, found again by tag.

    Parameters
    ----------
    tracking_uri : str
        Such as ``sqlite:////runs/one/mlflow.db`` or ``http://server:5000``. Artifacts
        of a SQLite store lie in ``mlflow-artifacts`` beside the file.
    experiment, run_name : str
        Names of the experiment and of the parent run.
    first : Candidate
        The sweep's first; its digest tells this sweep from others of the same name.
    params : mapping
        Parameters of the parent run; nested mappings are joined by dots.
    figure : callable, optional
        Draws a generation's best candidate; must not use pyplot, whose state is shared.

    Raises
    ------
    Exception
        Whatever MLflow raises when the store cannot be reached.
    """

    def __init__(
        self,
        tracking_uri: str,
        experiment: str,
        run_name: str,
        first: Candidate,
        params: Mapping[str, Any],
        figure: FigureMaker | None = None,
    ) -> None:
        self._client = _connect(tracking_uri)
        self._figure = figure
        self.artifact_errors: list[str] = []
        found = self._client.get_experiment_by_name(experiment)
        self._experiment_id = (
            found.experiment_id
            if found is not None
            else self._client.create_experiment(experiment, _artifact_location(tracking_uri))
        )
        self._parent_id = self._find_or_create_parent(run_name, digest_of(first), params)
        self._runs = {
            run.data.tags["evobourse.digest"]: (run.info.run_id, run.info.status != "RUNNING")
            for run in self._search(f"tags.`mlflow.parentRunId` = '{self._parent_id}'")
            if "evobourse.digest" in run.data.tags
        }
        history = self._client.get_metric_history(self._parent_id, "failed")
        self._generations = {metric.step for metric in history}

    def log_generation(self, candidates: Sequence[Candidate], readings: Mapping[str, float]) -> int:
        """Log a generation's candidates, then its summary on the parent run.

        What is there already is left alone; a candidate that was cut off half-way is
        finished.

        Parameters
        ----------
        candidates : sequence of Candidate
            One generation's, at least one.
        readings : mapping of str to float
            What the search said of its own state, where known.

        Returns
        -------
        int
            How many candidates were new.
        """
        new = sum(self._log_candidate(candidate) for candidate in candidates)
        generation = candidates[0].generation
        if generation in self._generations:
            return new
        scored = [(c.score, c) for c in candidates if c.score is not None]
        summary = {"failed": float(len(candidates) - len(scored))}
        if scored:
            best_score, best = min(scored, key=lambda pair: pair[0])
            summary |= {"best": best_score, "median": median(score for score, _ in scored)}
            self._log_figure(best)
        self._log(self._parent_id, {}, {**summary, **readings}, generation)
        self._generations.add(generation)
        return new

    def finish(self) -> None:
        """Mark the sweep as finished."""
        self._client.set_terminated(self._parent_id)

    def _log_candidate(self, candidate: Candidate) -> bool:
        digest = digest_of(candidate)
        run_id, done = self._runs.get(digest, (None, False))
        if done:
            return False
        if run_id is None:
            tags = {
                "mlflow.parentRunId": self._parent_id,
                "evobourse.digest": digest,
                "evobourse.candidate": candidate.id,
                "evobourse.parents": json.dumps(candidate.parents),
            }
            if candidate.failure is not None:
                tags["evobourse.failure"] = candidate.failure
            run_id = self._create_run(candidate.id, tags)
            self._runs[digest] = (run_id, False)
        metrics = {name: part for name, part in candidate.parts.items() if math.isfinite(part)}
        if candidate.score is not None:
            metrics["score"] = candidate.score
        self._log(run_id, candidate.genome, metrics, candidate.generation)
        if candidate.recipe is not None:
            recipe = yaml.safe_dump(json.loads(candidate.to_json())["recipe"], sort_keys=False)
            self._log_artifact(self._client.log_text, run_id, recipe, "recipe.yaml")
        status = "FINISHED" if candidate.failure is None else "FAILED"
        self._client.set_terminated(run_id, status=status)
        self._runs[digest] = (run_id, True)
        return True

    def _log_figure(self, best: Candidate) -> None:
        if self._figure is None:
            return
        run_id, _ = self._runs[digest_of(best)]
        try:
            figure = self._figure(best)
        except Exception as error:  # a drawing is worth less than the record
            self.artifact_errors.append(f"figure of {best.id}: {type(error).__name__}: {error}")
            return
        if figure is not None:
            self._log_artifact(self._client.log_figure, run_id, figure, "best.png")

    def _log_artifact(
        self, log: Callable[[str, Any, str], object], run_id: str, content: Any, name: str
    ) -> None:
        """Log an artifact; servers often have none of the artifact store's credentials."""
        try:
            log(run_id, content, name)
        except Exception as error:
            self.artifact_errors.append(f"{name}: {type(error).__name__}: {error}")

    def _find_or_create_parent(self, name: str, digest: str, params: Mapping[str, Any]) -> str:
        for run in self._search(f"tags.`evobourse.sweep` = '{digest}'"):
            if run.info.run_name == name:
                self._client.update_run(run.info.run_id, status="RUNNING")
                return str(run.info.run_id)
        run_id = self._create_run(name, {"evobourse.sweep": digest})
        self._log(run_id, params, {}, 0)
        return run_id

    def _create_run(self, name: str, tags: dict[str, str]) -> str:
        return str(self._client.create_run(self._experiment_id, None, tags, name).info.run_id)

    def _search(self, condition: str) -> Iterator[Any]:
        token = None
        while True:
            page = self._client.search_runs(
                [self._experiment_id], condition, max_results=1000, page_token=token
            )
            yield from page
            token = page.token
            if not token:
                return

    def _log(
        self, run_id: str, params: Mapping[str, Any], metrics: Mapping[str, float], step: int
    ) -> None:
        from mlflow.entities import Metric, Param

        now = int(time.time() * 1000)
        rows = [Metric(_name(name), float(m), now, step) for name, m in metrics.items()]
        flat = [Param(_name(name), str(value)) for name, value in _flatten(params)]
        for start in range(0, max(len(flat), 1), _PARAMS_A_BATCH):
            batch = flat[start : start + _PARAMS_A_BATCH]
            self._client.log_batch(run_id, metrics=rows if start == 0 else [], params=batch)


def _connect(tracking_uri: str) -> Any:
    """Import MLflow only now: it takes a second, and what it says would break progress bars."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # Not catch_warnings, which must not be entered and left beside other threads.
    warnings.filterwarnings("ignore", message="The ``noload`` loader strategy")
    from mlflow import MlflowClient

    for chatty in ("mlflow", "alembic"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    return MlflowClient(tracking_uri)


def _artifact_location(tracking_uri: str) -> str | None:
    if not tracking_uri.startswith("sqlite:///"):
        return None  # the server knows
    database = Path(tracking_uri.removeprefix("sqlite:///")).resolve()
    return (database.parent / "mlflow-artifacts").as_uri()


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _name(name: str) -> str:
    """Replace what MLflow refuses in names."""
    return re.sub(r"[^\w./ -]", "_", name)

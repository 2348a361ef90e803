"""A sweep in an MLflow store: a parent run, and one nested run per candidate.

Every error of MLflow passes through; `evolve.tracking.follower` tries again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import re
import shlex
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import yaml

from evobourse.evolve.addresses import SQLITE, sqlite_path
from evobourse.evolve.errors import EvolveError, hide_password
from evobourse.evolve.lineage import Candidate
from evobourse.evolve.timings import Timing
from evobourse.evolve.tracking.mlflow_runs import (
    PARAMS_A_BATCH,
    FinishedRun,
    write_point,
    write_runs,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FigureMaker = Callable[[Candidate], "Figure | None"]

NAMED_PARENTS = 100
"""Heaviest parents that a run's tag names; tags are short, the lineage has them all."""

_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # A dead server is tried again later, not for minutes on end.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}


def digest_of(candidate: Candidate) -> str:
    """Return what identifies a candidate in any store: a hash of its line in the lineage."""
    return hashlib.sha256(candidate.to_json().encode()).hexdigest()[:32]


class SweepStore:
    """One sweep's runs in an MLflow store, found again by tag.

    A generation's summary on the parent run is written last, so that a generation with a
    summary is complete.

    Parameters
    ----------
    tracking_uri : str
        Such as ``sqlite:////runs/one/mlflow.db``, ``postgresql://host/name`` or
        ``http://server:5000``.
    artifact_location : str or None
        Where the experiment keeps its files if it is new; None if the store knows.
    experiment, run_name : str
        Names of the experiment and of the parent run.
    first : Candidate
        The sweep's first; its digest tells this sweep from others of the same name.
    params : mapping
        Parameters of the parent run; nested mappings are joined by dots.
    figure : callable, optional
        Draws a candidate that is better than all before; must not use pyplot.

    Raises
    ------
    EvolveError
        The experiment was deleted in MLflow.
    Exception
        Whatever MLflow raises when the store cannot be reached.
    """

    def __init__(
        self,
        tracking_uri: str,
        artifact_location: str | None,
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
        self._experiment = found or self._client.get_experiment(
            self._client.create_experiment(experiment, artifact_location)
        )
        self._experiment_id = self._experiment.experiment_id
        if self._experiment.lifecycle_stage != "active":
            shown = shlex.quote(hide_password(tracking_uri))
            raise EvolveError(
                f"MLflow at {hide_password(tracking_uri)}: experiment {experiment!r} was deleted "
                f"there; take it back: MLFLOW_TRACKING_URI={shown} mlflow experiments restore "
                f"--experiment-id {self._experiment_id}"
            )
        self._fresh = False
        self._best_id = ""
        self._parent_id = self._find_or_create_parent(run_name, digest_of(first), params)
        self._complete = {point.step for point in self._history("failed")}
        self._candidates = sum(int(point.value) for point in self._history("candidates"))
        best = self._history("best_so_far")
        self._best = min((point.value for point in best), default=math.inf)

    def log_generation(self, candidates: Sequence[Candidate], timing: Timing | None) -> int:
        """Log a generation's candidates, then its summary on the parent run.

        What is there already is left alone; a candidate that was cut off half-way is
        logged anew.

        Parameters
        ----------
        candidates : sequence of Candidate
            One generation's, at least one, as read from the lineage.
        timing : Timing or None
            How long it took and the state of the search, where known.

        Returns
        -------
        int
            How many candidates were new.
        """
        generation = candidates[0].generation
        if generation in self._complete:
            return 0
        ended_ms = timing.ended_ms if timing else int(time.time() * 1000)
        took_ms = int(1000 * timing.seconds) if timing else 0
        ids = {} if self._fresh else self._finished_runs(generation)
        digests = {digest_of(candidate): candidate for candidate in candidates}
        missing = [digest for digest in digests if digest not in ids]
        if missing:
            span = (ended_ms - took_ms, ended_ms)
            runs = [self._as_run(digests[digest], digest, *span) for digest in missing]
            written = write_runs(self._client, self._experiment, runs)
            ids |= dict(zip(missing, written, strict=True))
        summary, best = self._summarise(candidates)
        self._log_recipes(candidates)
        if best is not None and best.score is not None and best.score < self._best:
            self._best, self._best_id = best.score, best.id
            self._log_record(best, ids[digest_of(best)])
        if math.isfinite(self._best):
            summary["best_so_far"] = self._best
        if timing is not None:
            summary |= {"seconds": timing.seconds, **timing.readings}
        summary = {_name(name): float(number) for name, number in summary.items()}
        write_point(self._client, self._parent_id, summary, generation, ended_ms)
        self._complete.add(generation)
        self._candidates += len(candidates)
        return len(missing)

    def finish(self, reason: str | None) -> None:
        """Close the parent run with a note for its reader.

        Parameters
        ----------
        reason : str or None
            Why the search ended, in words; None if it was broken off.
        """
        self._client.set_tag(self._parent_id, "mlflow.note.content", self._note(reason))
        if reason is not None:
            self._client.set_tag(self._parent_id, "evobourse.stopped", reason[:5000])
        self._client.set_terminated(self._parent_id, "FINISHED" if reason else "KILLED")

    def _note(self, reason: str | None) -> str:
        state = f"ended: {reason}" if reason else "was broken off; `evobourse resume` goes on"
        runs = (
            f"#/experiments/{self._experiment_id}/runs?workflowType=machine_learning"
            "&orderByKey=metrics.%60score%60&orderByAsc=true"
        )
        return (
            f"**{self._candidates:,} candidates** in {len(self._complete):,} generations; the "
            f"search {state}.\n\nBest training score **{self._best:.4g}**, {self._best_id}. "
            "Every candidate is a nested run, named by generation, slow and fast proposal.\n\n"
            f"- [Who was better than all before]({runs}"
            "&searchFilter=tags.evobourse.record%20%3D%20%27true%27)\n"
            f"- [One generation]({runs}"
            "&searchFilter=tags.evobourse.generation%20%3D%20%270%27); Columns shows its scores\n"
            "- How the sweep went: the model metrics of this run, `best`, `median`, `best_so_far`\n"
            "- Recipes of all candidates: artifacts, `recipes/`; the best one's picture: `best.png`"
        )

    def _as_run(
        self, candidate: Candidate, digest: str, started_ms: int, ended_ms: int
    ) -> FinishedRun:
        heaviest = sorted(candidate.parents, key=lambda parent: -parent[1])[:NAMED_PARENTS]
        parents = [parent for parent in candidate.parents if parent in heaviest]
        tags = {
            "mlflow.parentRunId": self._parent_id,
            "evobourse.digest": digest,
            "evobourse.candidate": candidate.id,
            "evobourse.generation": str(candidate.generation),
            "evobourse.parents": json.dumps(parents),
        }
        if candidate.failure is not None:
            tags["evobourse.failure"] = candidate.failure[:5000]
        metrics = {_name(n): float(p) for n, p in candidate.parts.items() if math.isfinite(p)}
        if candidate.score is not None:
            metrics["score"] = candidate.score
        return FinishedRun(
            candidate.id,
            "FINISHED" if candidate.failure is None else "FAILED",
            tags,
            {
                _gene_name(segment, gene): str(value)
                for segment, genes in candidate.genome.items()
                for gene, value in genes.items()
            },
            metrics,
            candidate.generation,
            started_ms,
            ended_ms,
        )

    def _summarise(
        self, candidates: Sequence[Candidate]
    ) -> tuple[dict[str, float], Candidate | None]:
        scored = [(c.score, c) for c in candidates if c.score is not None]
        summary = {
            "candidates": float(len(candidates)),
            "failed": float(len(candidates) - len(scored)),
        }
        if not scored:
            return summary, None
        score, best = min(scored, key=lambda pair: pair[0])
        summary |= {"best": score, "median": float(median(score for score, _ in scored))}
        return summary, best

    def _log_recipes(self, candidates: Sequence[Candidate]) -> None:
        """Log each recipe of a generation once, with who was made to it."""
        users: dict[str, list[str]] = {}
        for candidate in candidates:
            if candidate.recipe is not None:
                written = json.dumps(candidate.recipe)
                users.setdefault(written, []).append(candidate.id)
        if users:
            page = [
                {"candidates": ids, "recipe": json.loads(recipe)} for recipe, ids in users.items()
            ]
            text = yaml.dump(page, Dumper=_DUMPER, sort_keys=False)
            name = f"recipes/g{candidates[0].generation:03d}.yaml"
            self._log_artifact(self._client.log_text, self._parent_id, text, name)

    def _log_record(self, best: Candidate, run_id: str) -> None:
        """Show off a candidate that is better than all before."""
        self._client.set_tag(run_id, "evobourse.record", "true")
        self._client.set_tag(self._parent_id, "evobourse.best", best.id)
        if best.recipe is not None:
            text = yaml.dump(best.recipe, Dumper=_DUMPER, sort_keys=False)
            self._log_artifact(self._client.log_text, run_id, text, "recipe.yaml")
        if self._figure is None:
            return
        try:
            figure = self._figure(best)
        except Exception as error:  # a drawing is worth less than the record
            self.artifact_errors.append(f"figure of {best.id}: {type(error).__name__}: {error}")
            return
        if figure is not None:
            for id_ in (run_id, self._parent_id):
                self._log_artifact(self._client.log_figure, id_, figure, "best.png")

    def _log_artifact(
        self, log: Callable[[str, Any, str], object], run_id: str, content: Any, name: str
    ) -> None:
        """Log an artifact; servers often have none of the artifact store's credentials."""
        try:
            log(run_id, content, name)
        except Exception as error:
            self.artifact_errors.append(f"{name}: {type(error).__name__}: {error}")

    def _finished_runs(self, generation: int) -> dict[str, str]:
        """Find a generation's runs by digest; delete one that was cut off half-way."""
        mine = f"tags.`mlflow.parentRunId` = '{self._parent_id}'"
        found = {}
        for run in self._search(f"{mine} and tags.`evobourse.generation` = '{generation}'"):
            if run.info.status == "RUNNING":
                self._client.delete_run(run.info.run_id)
            elif "evobourse.digest" in run.data.tags:
                found[run.data.tags["evobourse.digest"]] = str(run.info.run_id)
        return found

    def _find_or_create_parent(self, name: str, digest: str, params: Mapping[str, Any]) -> str:
        for run in self._search(f"tags.`evobourse.sweep` = '{digest}'"):
            if run.info.run_name == name:
                self._client.update_run(run.info.run_id, status="RUNNING")
                self._best_id = run.data.tags.get("evobourse.best", "")
                return str(run.info.run_id)
        self._fresh = True
        tags = {"evobourse.sweep": digest}
        created = self._client.create_run(self._experiment_id, None, tags, name)
        run_id = str(created.info.run_id)
        self._log_params(run_id, params)
        return run_id

    def _history(self, metric: str) -> list[Any]:
        return [] if self._fresh else list(self._client.get_metric_history(self._parent_id, metric))

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

    def _log_params(self, run_id: str, params: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        flat = [Param(_name(name), str(value)) for name, value in _flatten(params)]
        for start in range(0, len(flat), PARAMS_A_BATCH):
            self._client.log_batch(run_id, params=flat[start : start + PARAMS_A_BATCH])


_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def _connect(tracking_uri: str) -> Any:
    """Import MLflow only now: it takes a second, and what it says would break progress bars."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # Not catch_warnings, which must not be entered and left beside other threads.
    warnings.filterwarnings("ignore", message="The ``noload`` loader strategy")
    from mlflow import MlflowClient

    for chatty in ("mlflow", "alembic"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    client = MlflowClient(tracking_uri)
    database = sqlite_path(tracking_uri)
    raw = Path(tracking_uri.removeprefix(SQLITE))
    if database is not None and raw != database:
        # MLflow has made a folder of the escaped address, where nothing is.
        with suppress(OSError):
            os.removedirs(raw.parent)
    return client


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


@cache
def _gene_name(segment: str, gene: str) -> str:
    return _name(f"{segment}.{gene}")


@cache
def _name(name: str) -> str:
    """Replace what MLflow refuses in names."""
    return re.sub(r"[^\w./ -]", "_", name)

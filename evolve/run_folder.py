"""A run's folder: where each of its files lies, and the short answers that two of them hold."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evobourse.evolve.errors import RunError


@dataclass(frozen=True)
class RunFolder:
    """The folder of a sweep, or of a sweep over settings; docs/reference.md has its files.

    Attributes
    ----------
    path : Path
        The folder; it need not exist yet.
    """

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    @property
    def config(self) -> Path:
        """Every setting of the run."""
        return self.path / "config.yaml"

    @property
    def splits(self) -> Path:
        """The dates of its splits, and the hash of its series."""
        return self.path / "splits.yaml"

    @property
    def lineage(self) -> Path:
        """A line a candidate."""
        return self.path / "lineage.jsonl"

    @property
    def checkpoint(self) -> Path:
        """The state after the last whole generation."""
        return self.path / "checkpoint" / "state.pickle"

    @property
    def timings(self) -> Path:
        """A line a generation: how long it took."""
        return self.path / "timings.jsonl"

    @property
    def stopped(self) -> Path:
        """Why the search has ended."""
        return self.path / "stopped.json"

    @property
    def search(self) -> Path:
        """What the search said at its end."""
        return self.path / "search.yaml"

    @property
    def archive(self) -> Path:
        """What it found beside one best candidate."""
        return self.path / "archive.csv"

    @property
    def champion(self) -> Path:
        """The chosen candidate, and the finalists."""
        return self.path / "champion.json"

    @property
    def scoreboard(self) -> Path:
        """The champion beside every baseline."""
        return self.path / "scoreboard.json"

    @property
    def report(self) -> Path:
        """The page of pictures."""
        return self.path / "report.png"

    @property
    def report_page(self) -> Path:
        """What ``evobourse report`` writes."""
        return self.path / "report.html"

    @property
    def paths(self) -> Path:
        """Held-out log returns of the real windows and of all markets on the scoreboard."""
        return self.path / "paths.parquet"

    @property
    def bundle(self) -> Path:
        """The folder of the exported champion."""
        return self.path / "bundle"

    @property
    def mlflow(self) -> Path:
        """The database of its MLflow view, unless that lies elsewhere."""
        return self.path / "mlflow.db"

    @property
    def lineage_picture(self) -> Path:
        """What ``evobourse lineage`` draws."""
        return self.path / "lineage.png"

    @property
    def lineage_page(self) -> Path:
        """What ``evobourse lineage`` draws, as a page."""
        return self.path / "lineage.html"

    @property
    def robustness(self) -> Path:
        """What ``evobourse robust`` finds."""
        return self.path / "robustness.json"

    @property
    def attribution(self) -> Path:
        """What ``evobourse attribution`` finds."""
        return self.path / "attribution.json"

    @property
    def response(self) -> Path:
        """What ``evobourse response`` draws."""
        return self.path / "response.png"

    @property
    def tuning(self) -> Path:
        """What a sweep over settings varies."""
        return self.path / "tuning.yaml"

    @property
    def trials(self) -> Path:
        """The folder of the runs of a sweep over settings."""
        return self.path / "trials"

    @property
    def trial(self) -> Path:
        """What a run that is such a trial came to."""
        return self.path / "trial.json"

    def require(self) -> None:
        """Refuse a folder that holds no run.

        Raises
        ------
        RunError
            There is no config.
        """
        if not self.config.is_file():
            raise RunError(f"{self}: no run there (no {self.config.name}); name a run's folder")

    @property
    def has_begun(self) -> bool:
        """Whether a sweep has begun here, so that its config and series stay as they are."""
        return self.checkpoint.exists()

    @property
    def is_finished(self) -> bool:
        """Whether the sweep has come to its end, with a scoreboard and a bundle."""
        files = (self.stopped, self.scoreboard, self.report, self.bundle / "hashes.json")
        return all(file.is_file() for file in files)

    def read_stop(self) -> str | None:
        """Say in words why the search has ended; None while it has not."""
        return _read(self.stopped, "reason")

    def read_scoreboard(self) -> list[dict[str, Any]]:
        """Return the rows of the scoreboard; none before there is one."""
        rows = read_json(self.scoreboard)
        rows = [] if rows is None else rows
        if not isinstance(rows, list) or not all(
            isinstance(row, dict) and row.keys() >= {"name", "asset", "split", "score"}
            for row in rows
        ):
            raise RunError(f"{self.scoreboard}: damaged (no rows of scores); restore it")
        return rows

    def read_champion(self) -> str | None:
        """Return the id of the chosen candidate; None before there is one."""
        return _read(self.champion, "champion")


def require_bundle(folder: Path) -> None:
    """Refuse a folder that holds no bundle, before anything is loaded to read it.

    Raises
    ------
    RunError
        There are no hashes.
    """
    if not (folder / "hashes.json").is_file():
        inside = RunFolder(folder).bundle
        name = str(inside) if inside.is_dir() else "a folder that evobourse exported"
        raise RunError(f"{folder}: no bundle there (no hashes.json); name {name}")


def read_json(file: Path) -> Any:
    """Return what one of a run's JSON files holds; None where there is none yet.

    Raises
    ------
    RunError
        It is damaged, or cannot be read.
    """
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RunError(f"{file}: damaged ({reason}); restore it, or remove it") from error


def _read(file: Path, key: str) -> str | None:
    said = read_json(file)
    if said is None:
        return None
    if not isinstance(said, dict) or not isinstance(said.get(key), str):
        raise RunError(f"{file}: damaged (it has no {key}); restore it, or remove it")
    return str(said[key])

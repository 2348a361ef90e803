"""An unfinished training on disk: saved every few steps, gone when the adapter is there."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from evobourse.agents.errors import AgentError
from evobourse.market.durable import replace_bytes


class TrainingState:
    """Where a training stands, and its file.

    Parameters
    ----------
    file
        Where it is kept.
    told
        All that the training is made of, as plain values; another training's file is refused.
    weights
        The trained parameters by name.
    optimizer, schedule
        What else changes from step to step.

    Attributes
    ----------
    losses
        Of each step so far.
    batches
        How many were read.
    """

    def __init__(
        self,
        file: Path,
        told: Mapping[str, Any],
        weights: Mapping[str, torch.Tensor],
        optimizer: Any,
        schedule: Any,
    ):
        self.file = file
        self.losses: list[float] = []
        self.batches = 0
        self._told = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
        self._weights, self._optimizer, self._schedule = weights, optimizer, schedule

    def load(self) -> None:
        """Go to where the file stands, if there is one.

        Raises
        ------
        AgentError
            It is unreadable, or another training's.
        """
        if not self.file.is_file():
            return
        try:
            held = torch.load(self.file, weights_only=True)
            told = held["told"]
        except (OSError, RuntimeError, EOFError, KeyError, pickle.UnpicklingError) as error:
            raise AgentError(
                f"{self.file}: is no unfinished training ({type(error).__name__}); remove it to "
                "begin anew"
            ) from error
        if told != self._told:
            raise AgentError(
                f"{self.file}: an unfinished training with other settings or data; ask for the "
                "same ones, or remove it to begin anew"
            )
        with torch.no_grad():
            for name, weight in self._weights.items():
                weight.copy_(held["weights"][name])
        self._optimizer.load_state_dict(held["optimizer"])
        self._schedule.load_state_dict(held["schedule"])
        self.losses, self.batches = held["losses"], held["batches"]

    def save(self) -> None:
        """Replace the file, whole or not at all."""
        buffer = io.BytesIO()
        held = {
            "told": self._told,
            "weights": {name: weight.detach() for name, weight in self._weights.items()},
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "losses": self.losses,
            "batches": self.batches,
        }
        torch.save(held, buffer)
        replace_bytes(self.file, buffer.getvalue())

    def remove(self) -> None:
        """Forget the file."""
        self.file.unlink(missing_ok=True)

"""Minds that are asked with windows: views and numbers in, option logits out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from evobourse.agents.encodings.encoding import SOFT, Encoding
from evobourse.agents.encodings.projector import read_projector
from evobourse.agents.errors import AgentError
from evobourse.agents.minds.engine import MindEngine
from evobourse.agents.observation import INVOCATION
from evobourse.merge.engine.prompt import Prompt, SoftToken, Token
from evobourse.merge.peft.mind_vector import split_cores

ENCODING = "encoding"
"""Entry of an adapter's provenance; absent for words."""


class EncodedMinds:
    """An engine's minds, asked in one encoding.

    A window is a step of its own: agents of one mind who see the same day share it. The soft tokens
    of a mixture are the sum of its adapters' soft tokens times their coefficients (means over
    blocks), as its low-rank updates are; the bare base has zeros. One window is projected at a
    time, so that its bits depend on no other.

    Parameters
    ----------
    engine
        Answers.
    encoding
        What it is asked in.
    adapters
        Folders of the engine's adapters, in its order.

    Raises
    ------
    AgentError
        An adapter was trained for another encoding, or has no projector where one is needed.
    """

    def __init__(self, engine: MindEngine, encoding: Encoding, adapters: Sequence[Path]):
        for folder in adapters:
            check_encoding(folder, encoding)
        self.engine, self.encoding = engine, encoding
        soft = encoding.name == "patches"
        self._projectors = [read_projector(folder) for folder in adapters] if soft else []
        self._rules = engine.tokens.cut(encoding.rules, INVOCATION)[0]

    @property
    def counters(self) -> object:
        """What the engine has done."""
        return self.engine.counters

    def ask(
        self,
        mind: NDArray[np.float32],
        views: NDArray[np.int64],
        windows: NDArray[np.float32] | None = None,
    ) -> None:
        """Queue questions of one mind: views int64[n] and windows float32[n, W] of their days."""
        if self.encoding.numeric:
            self.engine.ask_prompts(mind, self.prompts(mind, views, windows))
        else:
            self.engine.ask(mind, views)

    def answer(
        self,
        mind: NDArray[np.float32],
        views: NDArray[np.int64],
        windows: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """Return option logits float32[n, 5]; computes everything queued that is not known."""
        if self.encoding.numeric:
            return self.engine.answer_prompts(mind, self.prompts(mind, views, windows))
        return self.engine.answer(mind, views)

    def prompts(
        self,
        mind: NDArray[np.float32],
        views: NDArray[np.int64],
        windows: NDArray[np.float32] | None,
    ) -> list[Prompt]:
        """Make the prompts of views and their days' windows, a repeated one only once."""
        made: dict[tuple[int, bytes], Prompt] = {}
        steps: dict[bytes, tuple[Token, ...]] = {}
        prompts = []
        for row, view in enumerate(views.tolist()):
            window = None if windows is None else windows[row]
            key = view, b"" if window is None else window.tobytes()
            if key not in made:
                tokens = self.encoding.window_part(self.engine.tokenize, view, window)
                words = self.encoding.words_part(self.engine.tokenize, view)
                if window is not None and tokens and key[1] not in steps:
                    soft = SOFT in tokens
                    steps[key[1]] = self._soft_tokens(mind, window) if soft else tuple(tokens)
                step = [steps[key[1]]] if tokens else []
                made[key] = self.engine.prompt(self._rules, *step, words)
            prompts.append(made[key])
        return prompts

    @torch.inference_mode()
    def _soft_tokens(
        self, mind: NDArray[np.float32], window: NDArray[np.float32]
    ) -> tuple[Token, ...]:
        weights = split_cores(mind)[0].mean(axis=0)
        given = torch.from_numpy(window)[None]
        width = self.engine.decoder.model.config.hidden_size
        total = torch.zeros(self.encoding.soft_tokens, width)
        for weight, projector in zip(weights.tolist(), self._projectors, strict=True):
            if weight:
                total = total + weight * projector(given)[0]
        return tuple(SoftToken(vector) for vector in total.numpy())


def check_encoding(folder: Path, encoding: Encoding) -> None:
    """Refuse an adapter that was trained for another encoding.

    Raises
    ------
    AgentError
        Its ``provenance.json`` names another one; a folder without is taken to know words.
    """
    file = folder / "provenance.json"
    known = json.loads(file.read_text()).get(ENCODING, "words") if file.is_file() else "words"
    if known != encoding.name:
        raise AgentError(
            f"adapter {folder.name!r}: was trained for minds.encoding {known!r}, and it is "
            f"{encoding.name!r}; train one with --encoding {encoding.name}, or set minds.encoding"
        )

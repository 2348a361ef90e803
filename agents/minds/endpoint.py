"""A base behind an OpenAI-compatible server: the same questions, answered from its logprobs."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.errors import EndpointError
from evobourse.agents.minds.answer_memo import AnswerMemo, AnswerTable, answer_key
from evobourse.agents.minds.completions import Budget, CompletionClient, EndpointLimits, Question
from evobourse.agents.minds.stored_answers import name_mind
from evobourse.agents.minds.voices import Voice, name_served, put_in_words
from evobourse.agents.observation import OPTIONS, render_rules, render_view

KEY_VARIABLE = "EVOBOURSE_API_KEY"


@dataclass(frozen=True)
class Endpoint:
    """What a ``base:`` value such as ``http://127.0.0.1:8000/v1?top=20#mistral-7b`` names.

    All of it decides answers, so all of it travels with a bundle; how hard the server may be
    driven does not and stands in `agents.minds.completions.EndpointLimits`.

    Attributes
    ----------
    url
        Up to and including ``/v1``.
    model
        The served model's name. Other weights need another name: a server does not say which
        weights it holds, and answers are remembered by this name.
    top
        Tokens listed in a reply.
    loras
        The server offers every style adapter under its folder's name (vLLM's
        ``--lora-modules``), so that a mind is one of them and not said in words.
    tokenizer
        Folder or hub id whose tokenizer makes the prompt's token ids; empty to send text. Needed
        where a vocabulary's ``" A"`` is listed as ``"A"`` (SentencePiece: Llama 2, Mistral).
    echo
        Each option's own log probability is read from the echo of a prompt that ends in it, five
        prompts a question, instead of from the listed tokens (vLLM, SGLang; not llama.cpp).
    """

    url: str
    model: str
    top: int = 20
    loras: bool = False
    tokenizer: str = ""
    echo: bool = False


def is_endpoint(base: str) -> bool:
    """Tell a server's URL from a model's name or folder."""
    return base.startswith(("http://", "https://"))


def parse_endpoint(base: str) -> Endpoint:
    """Read a ``base:`` value that names a server.

    Raises
    ------
    EndpointError
        It has no model after a ``#``, or a setting that is unknown or no number.
    """
    parts = urlsplit(base)
    form = "expected http://HOST:PORT/v1[?top=20&loras=1&tokenizer=NAME&echo=1]#MODEL"
    settings = {"top": "20", "loras": "0", "tokenizer": "", "echo": "0"}
    given = dict(parse_qsl(parts.query))
    if not parts.fragment or not parts.netloc or given.keys() - settings.keys():
        raise EndpointError(f"base {base!r}: {form}")
    top, loras, tokenizer, echo = (settings | given).values()
    if not top.isdigit() or int(top) < len(OPTIONS) or not {loras, echo} <= {"0", "1"}:
        raise EndpointError(
            f"base {base!r}: top is {top} (at least {len(OPTIONS)}), loras {loras} and echo {echo} "
            f"(0 or 1); {form}"
        )
    url = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
    return Endpoint(url, parts.fragment, int(top), loras == "1", tokenizer, echo == "1")


@dataclass
class EndpointCounters:
    """What was asked, computed by the server and recalled from disk; options under the floor."""

    asked: int = 0
    computed: int = 0
    recalled: int = 0
    floored: int = 0


@dataclass
class _Queue:
    table: AnswerTable = field(default_factory=AnswerTable)
    asked: list[NDArray[np.int64]] = field(default_factory=list)


class EndpointMinds:
    """Answers forced choices from a server's logprobs; see `agents.minds.stand_ins.Minds`.

    The prompt is the engine's, with the mind's words between rules and view, or unchanged for a
    served LoRA. An option's logit is its listed log probability: the model's logit less one
    constant a question, which no choice depends on. An option that is not among the listed tokens
    gets the smallest listed value, which its own cannot exceed; `EndpointCounters.floored`
    counts them. A reply that lists no option at all is refused: floors alone are no answer. Where
    the endpoint echoes, every option's own log probability is read and none is floored.

    Parameters
    ----------
    endpoint
        Where, and what is asked.
    styles
        Names of the K adapters, in the order of a mind's coefficients.
    limits
        How hard the server may be driven.
    memo
        Answers kept on disk: each is kept as it arrives, so that nothing paid for is lost.
    budget
        The spending cap shared with other servers' minds, or None for one of its own.

    Raises
    ------
    EndpointError
        The options are not one token each in the tokenizer's vocabulary.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        styles: Sequence[str],
        limits: EndpointLimits,
        memo: AnswerMemo | None = None,
        budget: Budget | None = None,
    ):
        self.endpoint, self.styles, self.limits, self.memo = endpoint, tuple(styles), limits, memo
        self.counters = EndpointCounters()
        key = os.environ.get(KEY_VARIABLE)
        self.client = CompletionClient(endpoint.url, endpoint.top, limits, key, budget)
        self._say = name_served if endpoint.loras else put_in_words
        self._queues: dict[Voice, _Queue] = {}
        self._names: list[str | int] = list(OPTIONS)
        self._prompt: Callable[[str], str | tuple[int, ...]] = str
        if endpoint.tokenizer:
            self._open_tokenizer(endpoint.tokenizer)

    @property
    def base_hash(self) -> str:
        """Name all that answers depend on but the mind and the view."""
        named = asdict(self.endpoint)
        if not self.endpoint.echo:  # what was answered before there were echoes stays known
            del named["echo"]
        return f"endpoint {named}"

    def ask(self, mind: NDArray[np.float32], views: NDArray[np.int64]) -> None:
        """Queue questions of one mind, to be answered together with everyone else's."""
        self._queue(mind).asked.append(views)

    def answer(self, mind: NDArray[np.float32], views: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return option logits float32[n, 5]; asks for everything queued that is not known.

        Raises
        ------
        EndpointError
            The server fails for good, or the spending cap is reached; what was answered before is
            kept.
        """
        table = self._queue(mind).table
        if not table.known[views].all():
            self.ask(mind, views)
            self._flush()
        self.counters.asked += len(views)
        return table.logits[views]

    def scope(self, mind: NDArray[np.float32] | None) -> dict[str, Any]:
        """Name all that answers depend on but the view."""
        named = {"engine": self.base_hash, "styles": list(self.styles), "options": self._names}
        return {**named, "mind": name_mind(mind)}

    def prompt(self, mind: NDArray[np.float32], view: int) -> str:
        """Return the whole prompt as the server reads it."""
        return self._text(self._say(mind, self.styles), view)

    def _queue(self, mind: NDArray[np.float32]) -> _Queue:
        return self._queues.setdefault(self._say(mind, self.styles), _Queue())

    def _flush(self) -> None:
        places: dict[bytes, tuple[Voice, int]] = {}
        for voice, queue in self._queues.items():
            for view in queue.table.unknown(queue.asked) if queue.asked else ():
                places[self._key(voice, view)] = (voice, view)
            queue.asked.clear()
        known = self.memo.read(list(places)) if self.memo is not None else {}
        for key, logits in known.items():
            self._put(*places.pop(key), logits)
        self.counters.recalled += len(known)
        questions = [self._question(voice, view) for voice, view in places.values()]
        keys = list(places)
        with closing(self.client.ask_all(questions)) as replies:
            for index, listed in replies:
                logits = self._read(listed)
                if self.memo is not None:
                    self.memo.write({keys[index]: logits})
                self._put(*places[keys[index]], logits)
                self.counters.computed += 1

    def _put(self, voice: Voice, view: int, logits: NDArray[np.float32]) -> None:
        self._queues[voice].table.put([view], logits[None])

    def _read(self, listed: dict[str | int, float]) -> NDArray[np.float32]:
        found = [listed.get(name) for name in self._names]
        if all(value is None for value in found):
            raise EndpointError(
                f"endpoint {self.endpoint.url}: none of the options {', '.join(OPTIONS)} is among "
                f"the {len(listed)} tokens listed ({', '.join(map(repr, list(listed)[:5]))} ...); "
                "raise top=, or name the model's tokenizer= in the base"
            )
        self.counters.floored += found.count(None)
        floor = min(listed.values())
        return np.array([floor if value is None else value for value in found], np.float32)

    def _text(self, voice: Voice, view: int) -> str:
        return render_rules() + voice.text + render_view(view)

    def _question(self, voice: Voice, view: int) -> Question:
        text = self._text(voice, view)
        endings = tuple(self._names) if self.endpoint.echo else ()
        return Question(voice.model or self.endpoint.model, self._prompt(text), endings)

    def _key(self, voice: Voice, view: int) -> bytes:
        question = self._question(voice, view)
        # The temperature makes other keys than those of answers that were asked for at 0, some of
        # which were no distribution.
        scope = {
            "engine": self.base_hash,
            "model": question.model,
            "options": self._names,
            "temperature": 1,
        }
        return answer_key(scope, question.prompt)

    def _open_tokenizer(self, name: str) -> None:
        from transformers import AutoTokenizer

        from evobourse.merge.sources import resolve_model

        try:
            tokenizer = AutoTokenizer.from_pretrained(resolve_model(name))
        except (OSError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise EndpointError(f"base: tokenizer={name} cannot be loaded ({reason})") from error
        plain = [tokenizer(option, add_special_tokens=False).input_ids for option in OPTIONS]
        if any(len(ids) != 1 for ids in plain):
            raise EndpointError(f"base: tokenizer={name}: the options are not one token each")
        self._names = [ids[0] for ids in plain]
        self._prompt = lambda text: tuple(tokenizer(text).input_ids)

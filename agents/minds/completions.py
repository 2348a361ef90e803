"""Completions of an OpenAI-compatible server: in parallel, again after trouble, under a cap."""

from __future__ import annotations

import math
import threading
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Annotated

import httpx
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_after_attempt,
    stop_any,
    stop_when_event_set,
    wait_exponential,
)

from evobourse.agents.bounds import Bounds, check_bounds
from evobourse.agents.errors import AgentError, CapReached, EndpointError
from evobourse.agents.minds.replies import NoDistribution, read_echoed, read_listed, tokens_used

LONGEST_PAUSE_SECONDS = 60.0


@dataclass(frozen=True)
class EndpointLimits:
    """How a server may be used; no answer depends on any of it.

    Attributes
    ----------
    concurrency
        Most requests under way at once.
    timeout_seconds
        Longest wait for one reply.
    attempts
        Times that a request is sent before its trouble counts as lasting; the pauses between
        double from half a second, or are as long as the server asks for.
    max_requests
        Spending cap of this process, of all servers together: prompts sent (five a question where
        they are echoed), attempts included. Null for none.
    max_tokens
        The same in tokens of prompts and replies, as the server counts them.
    """

    concurrency: Annotated[int, Bounds(1, unit="requests")] = 8
    timeout_seconds: Annotated[float, Bounds(0, unit="seconds", above=True)] = 60.0
    attempts: Annotated[int, Bounds(1)] = 6
    max_requests: Annotated[int, Bounds(0, unit="prompts")] | None = None
    max_tokens: Annotated[int, Bounds(0, unit="tokens")] | None = None

    def __post_init__(self) -> None:
        check_bounds(self, AgentError)


@dataclass(frozen=True)
class Question:
    """One request: the served model's name, the prompt as text or token ids, its size at most.

    With ``endings``, one token each in the prompt's own form, the prompt is sent with every one of
    them, and its log probability is asked for instead of the likeliest next tokens'.
    """

    model: str
    prompt: str | tuple[int, ...]
    endings: tuple[str | int, ...] = ()

    @property
    def prompts(self) -> list[str | tuple[int, ...]]:
        """All that is sent to be read."""
        prompt = self.prompt
        if isinstance(prompt, str):
            return [f"{prompt}{ending}" for ending in self.endings or ("",)]
        return [(*prompt, int(ending)) for ending in self.endings] or [prompt]

    @property
    def tokens_at_most(self) -> int:
        """An upper bound of what the request costs: no token is shorter than a byte."""
        sizes = (len(p.encode()) + 1 if isinstance(p, str) else len(p) for p in self.prompts)
        return sum(size + 1 for size in sizes)


class _PassingTrouble(Exception):
    """What may be gone at the next attempt."""

    def __init__(self, what: str, pause_seconds: float = 0.0):
        super().__init__(what)
        self.pause_seconds = pause_seconds


class _Stopped(Exception):
    """Another request has failed for good, and this one is not tried any further."""


class Budget:
    """The spending cap, kept by all threads together: nothing is sent that might pass it."""

    def __init__(self, max_requests: int | None, max_tokens: int | None):
        self.max_requests = math.inf if max_requests is None else max_requests
        self.max_tokens = math.inf if max_tokens is None else max_tokens
        self.requests = self.tokens = 0
        self._reserved = 0
        self._changed = threading.Condition()

    def reserve(self, tokens: int, prompts: int = 1) -> None:
        """Set a request's most possible cost aside; wait while others' may turn out to be less.

        Raises
        ------
        CapReached
            The request might pass the cap.
        """
        with self._changed:
            while self._reserved and self.tokens + self._reserved + tokens > self.max_tokens:
                self._changed.wait()
            for name, after, most in (
                ("requests", self.requests + prompts, self.max_requests),
                ("tokens", self.tokens + tokens, self.max_tokens),
            ):
                if after > most:
                    raise CapReached(
                        f"minds.endpoint.max_{name} is {most}: {self.requests} requests and "
                        f"{self.tokens} tokens are spent, and the next request might pass it; "
                        "raise it and run the command again: what was answered is remembered"
                    )
            self.requests += prompts
            self._reserved += tokens

    def settle(self, reserved: int, used: int) -> None:
        """Book what a request really cost."""
        with self._changed:
            self._reserved -= reserved
            self.tokens += used
            self._changed.notify_all()


class CompletionClient:
    """Asks for the next token's log probabilities.

    Parameters
    ----------
    url
        Up to and including ``/v1``.
    top
        Tokens listed in a reply (vLLM allows 20 unless told otherwise, OpenAI 5).
    limits
        See `EndpointLimits`.
    key
        Bearer token, or None.
    budget
        The cap shared with other clients, or None for one of its own.
    """

    def __init__(
        self,
        url: str,
        top: int,
        limits: EndpointLimits,
        key: str | None = None,
        budget: Budget | None = None,
    ):
        self.url, self.top, self.limits = url, top, limits
        self.budget = budget or Budget(limits.max_requests, limits.max_tokens)
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._stopping = threading.Event()

    def ask_all(
        self, questions: Sequence[Question]
    ) -> Generator[tuple[int, dict[str | int, float]]]:
        """Ask questions in parallel; yield each one's index and listed tokens as they arrive.

        A token stands under its text and, where the server says it, under its id too; its value
        is the natural logarithm of its probability.

        Raises
        ------
        EndpointError
            One failed for good. Replies that were under way are yielded before.
        """
        self._stopping.clear()
        failed: BaseException | None = None
        threads = ThreadPoolExecutor(self.limits.concurrency, "endpoint")
        with httpx.Client(timeout=self.limits.timeout_seconds, headers=self._headers) as http:
            try:
                waiting = {threads.submit(self._ask, http, q): n for n, q in enumerate(questions)}
                for done in as_completed(waiting):
                    index, error = waiting.pop(done), done.exception()
                    if error is None:
                        yield index, done.result()
                    elif not isinstance(error, _Stopped):
                        failed = error
                        break
            finally:  # also at an interrupt, or where the caller stops listening
                self._stopping.set()
                threads.shutdown(wait=True, cancel_futures=True)
        if failed:
            for other, index in waiting.items():
                if not other.cancelled() and other.exception() is None:
                    yield index, other.result()
            raise failed

    def _ask(self, http: httpx.Client, question: Question) -> dict[str | int, float]:
        retrying = Retrying(
            retry=retry_if_exception_type(_PassingTrouble),
            stop=stop_any(
                stop_after_attempt(self.limits.attempts), stop_when_event_set(self._stopping)
            ),
            wait=_pause,
            sleep=sleep_using_event(self._stopping),
            reraise=True,
        )
        if self._stopping.is_set():
            raise _Stopped
        try:
            return retrying(self._send, http, question)
        except EndpointError:
            self._stopping.set()
            raise
        except _PassingTrouble as error:
            if self._stopping.is_set():
                raise _Stopped from error
            self._stopping.set()
            raise EndpointError(
                f"endpoint {self.url}: {error}, {self.limits.attempts} times in a row; see to the "
                "server and run the command again: what was answered is remembered"
            ) from error

    def _send(self, http: httpx.Client, question: Question) -> dict[str | int, float]:
        """Send a request once and book its cost: its most, where the server did not say."""
        prompts, endings = question.prompts, question.endings
        body = {
            "model": question.model,
            "prompt": prompts if endings else question.prompt,
            "max_tokens": 1,
            # At 0 some servers divide logprobs by it, so that one token has them all.
            "temperature": 1.0,
            "top_p": 1.0,
            "logprobs": 1 if endings else self.top,
        }
        if endings:
            body["echo"] = True
        if not isinstance(question.prompt, str):
            body["return_tokens_as_token_ids"] = True  # vLLM; others ignore it
        reserved = used = question.tokens_at_most
        self.budget.reserve(reserved, len(prompts))
        try:
            try:
                reply = http.post(f"{self.url}/completions", json=body)
            except httpx.TimeoutException as error:
                raise _PassingTrouble(f"no reply in {self.limits.timeout_seconds:g} s") from error
            except httpx.ConnectError as error:
                used = 0
                raise _PassingTrouble(f"cannot be reached ({error})") from error
            except httpx.TransportError as error:
                raise _PassingTrouble(f"the connection broke ({error})") from error
            if reply.status_code != httpx.codes.OK:
                used = 0
                raise self._refusal(reply)
            try:
                content = reply.json()
                used = tokens_used(content, reserved)
                return read_echoed(content, endings) if endings else read_listed(content, self.top)
            except NoDistribution as error:
                raise EndpointError(
                    f"endpoint {self.url}: replies with logprobs that are no distribution: {error}"
                ) from error
            except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
                of = "each option at an echoed prompt's end" if endings else "the next token"
                raise _PassingTrouble(
                    f"replies without logprobs of {of} ({reply.text[:80]!r})"
                ) from error
        finally:
            self.budget.settle(reserved, used)

    def _refusal(self, reply: httpx.Response) -> Exception:
        said = f"says {reply.status_code} {' '.join(reply.text.split())[:160]!r}"
        if reply.status_code in (408, 409, 425, 429) or reply.status_code >= 500:
            asked = reply.headers.get("retry-after", "")
            return _PassingTrouble(said, float(asked) if asked.isdigit() else 0.0)
        return EndpointError(f"endpoint {self.url}: {said}; check the URL, model name and key")


_backoff = wait_exponential(multiplier=0.5, max=LONGEST_PAUSE_SECONDS)


def _pause(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.pause_seconds if isinstance(error, _PassingTrouble) else 0.0
    return max(_backoff(state), min(asked, LONGEST_PAUSE_SECONDS))

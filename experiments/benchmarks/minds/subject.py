"""What the benchmarks of minds measure: the real engine, sixteen minds, and real mornings.

Investors who look at real prices become questions of minds, in words of about 24 tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import DynamicCache

from evobourse.agents.crowds.persona_crowd import PersonaCrowd, history_ticks
from evobourse.agents.minds.choices import tabulate_choices
from evobourse.agents.minds.engine import MindEngine
from evobourse.agents.minds.stand_ins import RandomMinds
from evobourse.agents.observation import (
    CUE,
    FIELD_NAMES,
    FIELDS,
    HISTORY_DAYS,
    decode_view,
    render_rules,
)
from evobourse.agents.personas.persona import Persona, Population, Society
from evobourse.agents.training.examples import real_levels, sample_views
from evobourse.evolve.bases.opening import open_model
from evobourse.experiments.config.experiment import load_config
from evobourse.experiments.sweep.setup import Experiment, build_experiment
from evobourse.market.crowd import AssetView, MarketView
from evobourse.merge.engine.prompt import Prompt, Token
from evobourse.merge.sources import DEFAULT_BASE, load_model

MINDS = 16
ATTENTION = 5
MASKED = 0.3
MISSED = 0.1
_TRADED = 10_000


@dataclass(frozen=True)
class Subject:
    """What is measured, opened once.

    Attributes
    ----------
    experiment
        The quickstart's series, splits and windows.
    model, tokenizer
        SmolLM2-135M-Instruct in fp32, as transformers opens it.
    engine
        This project's: the same model in INT8 with the seven shipped styles.
    """

    experiment: Experiment
    model: Any
    tokenizer: Any
    engine: MindEngine

    @property
    def styles(self) -> tuple[str, ...]:
        """Name the engine's adapters."""
        return tuple(adapter.name for adapter in self.engine.bank.adapters)

    def tokens(self, text: str) -> tuple[int, ...]:
        """Tokenise a text without special tokens."""
        return tuple(self.tokenizer(text, add_special_tokens=False).input_ids)

    def fresh_engine(self) -> MindEngine:
        """Return an engine on the same weights that remembers nothing."""
        engine = self.engine
        return MindEngine(
            engine.decoder.model, self.tokenizer, engine.bank, engine.base_hash
        )  # fmt: skip


@dataclass(frozen=True)
class Question:
    """One mind, by its place in the population, and what it is asked."""

    mind: int
    prompt: Prompt

    @property
    def private(self) -> tuple[Token, ...]:
        """The tokens after the shared part."""
        return tuple(self.prompt.tokens[len(self.prompt.shared) :])


def open_subject() -> Subject:
    """Open the model twice: as the peers run it, and in this project's engine."""
    experiment = build_experiment(load_config(Path(__file__).parents[2] / "quickstart.yaml"))
    model, tokenizer = load_model(DEFAULT_BASE)
    engine = open_model(DEFAULT_BASE, experiment.adapters, ()).engine
    return Subject(experiment, model, tokenizer, engine)


def sixteen_minds(styles: Sequence[str], attention: int = ATTENTION) -> Population:
    """Return the shipped styles, the bare base, and blends of neighbouring styles.

    Masks are those of an ordinary society: three signs in ten never seen, one in ten missed on a
    day, attention for a number of signs.
    """
    own = 0.9 * np.eye(len(styles))
    blends = 0.5 * (np.eye(len(styles)) + np.roll(np.eye(len(styles)), 1, axis=1))
    mixtures = np.concatenate([own, np.zeros((1, len(styles))), blends, own.mean(0)[None] * 2])
    personas = tuple(
        Persona(f"mind-{n}", "of a benchmark", (tuple(map(float, row)),), 1.0, 1.0)
        for n, row in enumerate(mixtures[:MINDS])
    )
    masks = dict.fromkeys(FIELD_NAMES, MASKED)
    return Population(personas, Society(masks, momentary_mask=MISSED, attention=attention))


def real_mornings(
    subject: Subject, population: Population, agents: int, days: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Let a crowd look at consecutive real mornings of the validation years.

    Prices are the real ones; for what the others did stands the sign that `real_levels` gives.

    Returns
    -------
    list of tuple
        A morning's persona and view of every agent, int64[agents] each.
    """
    series, split = subject.experiment.series, subject.experiment.splits.validation
    first = split.start
    ticks = history_ticks(series.close[: first + days])
    rows = slice(first - HISTORY_DAYS, first + days)
    others = real_levels(series.close[rows], series.volume[rows])[:, FIELD_NAMES.index("crowd")]
    [choices] = tabulate_choices([population], RandomMinds())
    offsets = subject.experiment.windows.world.offsets
    crowd = PersonaCrowd(population, choices, offsets, agents, np.random.default_rng(0))
    nothing = np.zeros(agents, np.int64)
    mornings = []
    for day, other in enumerate(others):
        closes, last = ticks[: first + day], int(ticks[first + day - 1])
        # A tenth more buyers than sellers, or the reverse, is what the field's words mean.
        buys = _TRADED + (int(other) - 1) * _TRADED // 5
        asset = AssetView(
            closes, np.zeros_like(closes), buys, _TRADED, last, 1, 2 * last, last
        )  # fmt: skip
        crowd.observe(MarketView(day, 0, "call", (asset,), nothing, nothing[:, None]))
        crowd.orders()
        decided = crowd.decisions()
        persona, view = (np.asarray(decided[name], np.int64) for name in ("persona", "view"))
        mornings.append((persona, view))
    return mornings


def render_in_words(view: int) -> list[str]:
    """Write what is seen with the name of each sign, then the cue, cut where texts part.

    The market's own prompts name a sign by its word alone (4 to 10 private tokens, with the
    invocation): what is measured here is the dearer prompt that other toolkits use, three signs
    in 24 tokens. Behind the same signs stands one of a few names, behind a name one of its words.
    """
    seen = [
        (field.title, field.words[level])
        for field, level in zip(FIELDS, decode_view(np.array(view)), strict=True)
        if level >= 0
    ]
    texts = [text for title, word in seen for text in (f" {title}", f" {word};")]
    return [*texts[:-1], texts[-1].removesuffix(";") + CUE] if texts else [CUE]


def prompt_of(subject: Subject, view: int) -> Prompt:
    """Return a view's prompt in words, one step a piece (docs/decisions/094)."""
    steps = map(subject.tokens, render_in_words(view))
    return subject.engine.prompt(subject.tokens(render_rules()), *steps)


def morning_questions(
    subject: Subject, personas: NDArray[np.int64], views: NDArray[np.int64]
) -> list[Question]:
    """Return every agent's question of one morning."""
    prompts = {int(view): prompt_of(subject, int(view)) for view in np.unique(views)}
    return [Question(int(p), prompts[int(v)]) for p, v in zip(personas, views, strict=True)]


def real_views(subject: Subject, attention: int) -> NDArray[np.int64]:
    """Return different masked views of the validation years' days, shuffled."""
    split = subject.experiment.splits.validation
    series = subject.experiment.series
    levels = real_levels(series.close[: split.stop], series.volume[: split.stop])
    rng = np.random.default_rng(0)
    return rng.permutation(np.unique(sample_views(levels, 4000, attention, rng)))


def real_prompts(subject: Subject, count: int, length: int) -> list[list[Token]]:
    """Return private prompts of real days in words, all of one length in tokens."""
    prompts = (prompt_of(subject, int(view)) for view in real_views(subject, ATTENTION))
    private = [prompt.tokens[len(prompt.shared) :] for prompt in prompts]
    return [tokens for tokens in private if len(tokens) == length][:count]


def expand_prefix(prefix: DynamicCache, rows: int) -> DynamicCache:
    """Give every row of a batch of transformers' own a prefix that was read once."""
    cache = DynamicCache()
    for index, (keys, values, _) in enumerate(prefix):
        shape = (rows, -1, -1, -1)
        cache.update(keys.expand(shape), values.expand(shape), index)
    return cache


def softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Turn option logits [n, 5] into probabilities float64[n, 5]."""
    shifted = np.exp(np.subtract(logits, logits.max(axis=1, keepdims=True), dtype=np.float64))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))

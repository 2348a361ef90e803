"""Companies and industries: agents that speak for assets, see their own data, and quote them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.observation import (
    CUE,
    FIELD_NAMES,
    FIELDS,
    HISTORY_DAYS,
    OPTIONS,
    decode_view,
    encode_view,
    price_values,
    to_levels,
)
from evobourse.agents.personas.persona import Persona
from evobourse.market.crowd import Crowd, MarketView, Orders
from evobourse.market.crowds.market_maker import MakerRule, MarketMakers
from evobourse.merge.engine.prompt import Prompt

HOLDINGS = ("empty", "thin", "balanced", "heavy", "full")
"""How much a speaker holds: under a quarter of what it wants, three quarters, 5/4, 7/4, or more."""

QUOTE_CHOICES = ("much lower", "lower", "as they are", "higher", "much higher")
_HOLDING_EDGES = (0.25, 0.75, 1.25, 1.75)
_NEWS, _CROWD = FIELD_NAMES.index("news"), FIELD_NAMES.index("crowd")


class PromptMinds(Protocol):
    """What answers prompts with a forced choice, see `agents.minds.engine.MindEngine`."""

    def text_prompt(self, shared: str, *steps: str) -> Prompt:
        """Make a prompt of texts."""

    def ask_prompts(self, mind: NDArray[np.float32], prompts: Sequence[Prompt]) -> None:
        """Announce questions."""

    def answer_prompts(
        self, mind: NDArray[np.float32], prompts: Sequence[Prompt]
    ) -> NDArray[np.float32]:
        """Return option logits float32[n, 5]."""


@dataclass(frozen=True)
class Speaker:
    """An agent that speaks for assets.

    Attributes
    ----------
    persona
        Its mind, temperature and traits.
    assets
        Rows of the assets that it speaks for: one for a company, several for an industry.
    target_lots
        What it wants to hold of each of them, and begins with.
    """

    persona: Persona
    assets: tuple[int, ...]
    target_lots: tuple[int, ...]

    @property
    def kind(self) -> str:
        """``company`` or ``industry``."""
        return "company" if len(self.assets) == 1 else "industry"


class Speakers(Crowd):
    """A crowd of companies and industries.

    In the first turn of a day each sees its own assets, as the mean of their log prices: trend,
    value, range, volatility, what others did in them, the news told to it, and its holding; what
    its persona never sees is not told. Its mind chooses whether to quote lower or higher, and all
    day its quotes lean that far from those of a market maker (`market.crowds.market_maker`).

    Over a view that shows nothing and those that show one sign, a mind should lean neither way:
    the antisymmetric part of its mean logits there is subtracted, as
    `agents.minds.choices.tabulate_choices` does over all views.

    Parameters
    ----------
    speakers
        Who they are.
    minds_of
        What answers the prompts of a persona.
    rule
        How they quote, all alike.
    assets
        Number of assets in the market.
    lean
        Standard deviations of a day that quotes move for each step of the choice.
    rng
        Of the choices.
    first_persona
        Number of the first speaker's persona on the tape.
    columns
        Further columns that the tape's decisions have of others, and what a speaker, who has
        nothing of the kind, writes there.
    """

    def __init__(
        self,
        speakers: Sequence[Speaker],
        minds_of: Callable[[Persona], PromptMinds],
        rule: MakerRule,
        assets: int,
        rng: np.random.Generator,
        lean: float = 0.5,
        first_persona: int = 0,
        columns: Mapping[str, float | int | bool] | None = None,
    ) -> None:
        self.speakers = list(speakers)
        self.n_agents = len(self.speakers)
        self.target_lots = np.zeros((self.n_agents, assets), np.int64)
        self._speaks = np.zeros((self.n_agents, assets), bool)
        for row, speaker in enumerate(self.speakers):
            self.target_lots[row, list(speaker.assets)] = speaker.target_lots
            self._speaks[row, list(speaker.assets)] = True
        self._minds_of, self._lean, self._rng = minds_of, lean, rng
        self._makers = {
            asset: MarketMakers(rule, self.target_lots[:, asset], asset)
            for asset in np.flatnonzero(self._speaks.any(axis=0)).tolist()
        }
        self._first_persona, self._columns = first_persona, dict(columns or {})
        self._bias: dict[tuple[str | None, bytes, str], NDArray[np.float64]] = {}
        self._tone = np.zeros(self.n_agents)
        self.views = np.zeros(self.n_agents, np.int64)
        self.holdings = np.zeros(self.n_agents, np.int64)
        self.tendency = np.zeros(self.n_agents, np.int64)

    def observe(self, view: MarketView) -> None:
        """See one's assets and, in the morning, decide which way to lean."""
        for message in view.messages:
            self._tone[slice(None) if message.agents is None else message.agents] += message.tone
        self._first_turn = view.turn == 0
        for maker in self._makers.values():
            maker.observe(view)
        if not self._first_turn:
            return
        for row, speaker in enumerate(self.speakers):
            self.views[row], self.holdings[row] = self._see(row, speaker, view)
        self._tone[:] = 0.0
        self.tendency = self._choose()
        for asset, maker in self._makers.items():
            day = np.sqrt(maker.variance(view.assets[asset]))
            maker.lean_ticks = self._lean * day * self.tendency

    def orders(self) -> Orders:
        """Quote every asset for which somebody speaks."""
        quoted = []
        for asset, maker in self._makers.items():
            orders = maker.orders()
            own = self._speaks[orders.agent, asset]
            columns = {
                name: getattr(orders, name)[own]
                for name in orders.__dataclass_fields__
                if getattr(orders, name) is not None
            }
            quoted.append(Orders(**columns))
        return Orders.concatenate(quoted)

    def decisions(self) -> dict[str, NDArray[np.generic]]:
        """Return the morning's agent, persona, view and choice (-2..2), as investors do."""
        n = self.n_agents if self._first_turn else 0
        return {
            "agent": np.arange(n),
            "persona": self._first_persona + np.arange(n),
            "view": self.views[:n].copy(),
            "tendency": self.tendency[:n].copy(),
            **{name: np.full(n, nothing) for name, nothing in self._columns.items()},
        }

    def _see(self, row: int, speaker: Speaker, view: MarketView) -> tuple[int, int]:
        """Return the view of one's own assets and the level of one's holding."""
        assets = [view.assets[asset] for asset in speaker.assets]
        logs = np.mean([np.log(asset.close_ticks[-HISTORY_DAYS:]) for asset in assets], axis=0)
        bought, sold = (
            sum(getattr(a, side) for a in assets) for side in ("buy_quantity", "sell_quantity")
        )
        crowd = (bought - sold) / max(bought + sold, 1)
        levels = to_levels(np.array([*price_values(logs), crowd, self._tone[row]]))
        traits = speaker.persona.traits
        never = traits.never_sees if traits else ()
        visible = np.array([name not in never for name in FIELD_NAMES])
        held = view.position[row, list(speaker.assets)].sum() / max(sum(speaker.target_lots), 1)
        return int(encode_view(levels, visible)), int(np.searchsorted(_HOLDING_EDGES, held))

    def _choose(self) -> NDArray[np.int64]:
        """Ask all minds together and draw: int64[n] in -2..2."""
        uniform = self._rng.random(self.n_agents)
        asked = []
        for speaker, view, holding in zip(self.speakers, self.views, self.holdings, strict=True):
            minds = self._minds_of(speaker.persona)
            prompt = speaker_prompt(minds, speaker.kind, int(view), int(holding))
            minds.ask_prompts(speaker.persona.mind, [prompt])
            asked.append((speaker, minds, prompt))
        chosen = []
        for (speaker, minds, prompt), draw in zip(asked, uniform, strict=True):
            [logits] = minds.answer_prompts(speaker.persona.mind, [prompt])
            unbiased = logits.astype(np.float64) - self._bias_of(speaker, minds)
            scaled = unbiased / speaker.persona.temperature
            odds = np.exp(scaled - scaled.max())
            edges = np.cumsum(odds / odds.sum())[:-1]
            chosen.append(int(np.searchsorted(edges, draw, side="right")) - 2)
        return np.array(chosen, np.int64)

    def _bias_of(self, speaker: Speaker, minds: PromptMinds) -> NDArray[np.float64]:
        persona = speaker.persona
        key = (persona.base, persona.mind.tobytes(), speaker.kind)
        if key not in self._bias:
            prompts = [speaker_prompt(minds, speaker.kind, *shown) for shown in plain_views()]
            mean = minds.answer_prompts(persona.mind, prompts).astype(np.float64).mean(axis=0)
            self._bias[key] = (mean - mean[::-1]) / 2
        return self._bias[key]


def plain_views() -> list[tuple[int, int | None]]:
    """List the view of nothing and those of one sign, each with the holding that it tells."""
    nothing = np.zeros(len(FIELDS), np.int64)
    shown: list[tuple[int, int | None]] = [(0, None)]
    for field, words in enumerate(f.words for f in FIELDS):
        for level in range(len(words)):
            levels, visible = nothing.copy(), np.arange(len(FIELDS)) == field
            levels[field] = level
            shown.append((int(encode_view(levels, visible)), None))
    return shown + [(0, holding) for holding in range(len(HOLDINGS))]


def speaker_prompt(minds: PromptMinds, kind: str, view: int, holding: int | None) -> Prompt:
    """Write the prompt of a company or an industry: rules, then its own signs and its holding."""
    levels = decode_view(view)
    words = [f.words[level] for f, level in zip(FIELDS, levels, strict=True) if level >= 0]
    if holding is not None:
        words.append(HOLDINGS[holding])
    text = "".join(f" {word}" for word in words) + CUE
    return minds.text_prompt(render_speaker_rules(kind), text)


def render_speaker_rules(kind: str) -> str:
    """Write what every company, or every industry, reads first."""
    who, own = {
        "company": ("a company whose shares are traded", "your own share"),
        "industry": ("an industry whose companies' shares are traded", "your own shares"),
    }[kind]
    signs = "; ".join(f"{field.title} ({', '.join(field.words)})" for field in FIELDS)
    choices = ", ".join(f"{o.strip()} {c}" for o, c in zip(OPTIONS, QUOTE_CHOICES, strict=True))
    return (
        f"You speak for {who}. You quote a price to buy and a price to sell. Every morning you see "
        f"some of these signs of {own}: {signs}; what you hold ({', '.join(HOLDINGS)}). You answer "
        f"with one letter where your quotes go: {choices}."
    )

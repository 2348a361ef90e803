"""A cast: who trades, member by member, from one YAML file.

What a member becomes in a market is `experiments.simulate.cast`'s.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from evobourse.agents.errors import AgentError
from evobourse.agents.observation import FIELD_NAMES
from evobourse.agents.personas.persona import Persona
from evobourse.agents.personas.traits import OrderStyle, Traits, order_style
from evobourse.experiments.config.sections import read_section, read_yaml
from evobourse.experiments.errors import ConfigError

Kind = Literal["investor", "company", "industry", "rule"]
Rule = Literal["market-makers", "noise-traders", "forecasters"]
USUAL_HORIZON_DAYS = 20.0
LEAST_ACTIVITY = 0.05


@dataclass(frozen=True)
class CastAsset:
    """An asset of the market.

    Attributes
    ----------
    name
        What members and events call it.
    series, until
        Real prices before the first day, up to a date (ISO), see `market.series.named.load_series`;
        the bundle's own history if left out.
    """

    name: str
    series: str | None = None
    until: str | None = None


@dataclass(frozen=True)
class Member:
    """One kind of trader in a cast.

    Attributes
    ----------
    name, count
        Unique in the cast; how many.
    kind
        An investor; a company that speaks for its ``asset``; an industry that speaks for several,
        its ``assets``; or traders that follow a ``rule``.
    style, mixture
        A style of the bundle, or several with coefficients; none of both: the bare model.
    base
        A model of its own, in the form of a config's ``minds.base``; null for the bundle's.
    temperature
        Divides the option logits.
    never_sees, only_sees
        Fields that it is never shown, or all that it can be (of ``trend``, ``value``, ``range``,
        ``volatility``, ``crowd``, ``news``).
    horizon_days
        How long it means to hold: over 20 days it orders more rarely in proportion, 0.05 as often
        at least, and waits longer where orders live for days, as the root of it.
    wealth
        Relative to others.
    receptivity
        Part of the tone of messages and rumours that it hears.
    background
        For people who read the cast.
    orders
        Style of its orders; that of its mixture (`agents.personas.traits.ORDER_STYLES`) if left
        out.
    asset, assets
        What it trades or speaks for; the first asset if left out, of an industry all.
    rule
        Of rule-based traders: ``market-makers``, ``noise-traders`` or ``forecasters``, see
        `experiments.config.scenario.Beside`.
    """

    name: str
    count: int = 1
    kind: Kind = "investor"
    style: str | None = None
    mixture: dict[str, float] = field(default_factory=dict)
    base: str | None = None
    temperature: float = 1.0
    never_sees: tuple[str, ...] = ()
    only_sees: tuple[str, ...] | None = None
    horizon_days: float = USUAL_HORIZON_DAYS
    wealth: float = 1.0
    receptivity: float = 1.0
    background: str = ""
    orders: OrderStyle | None = None
    asset: str | None = None
    assets: tuple[str, ...] = ()
    rule: Rule | None = None

    @property
    def hidden(self) -> tuple[str, ...]:
        """The fields that it is never shown, in their usual order."""
        seen = FIELD_NAMES if self.only_sees is None else self.only_sees
        return tuple(f for f in FIELD_NAMES if f in self.never_sees or f not in seen)

    @property
    def weights(self) -> dict[str, float]:
        """Coefficient of each style."""
        return {self.style: 1.0} if self.style else dict(self.mixture)

    def persona(self, styles: Sequence[str], blocks: int, main_base: str) -> Persona:
        """Make the persona of an investor or a speaker.

        Raises
        ------
        ConfigError
            A style is none of the bundle's.
        """
        for style in self.weights:
            if style not in styles:
                raise ConfigError(
                    f"cast: {self.name!r} has style {style!r}, the bundle's are {', '.join(styles)}"
                )
        row = tuple(float(self.weights.get(style, 0.0)) for style in styles)
        orders = self.orders or order_style(self.weights)
        longer = max(self.horizon_days / USUAL_HORIZON_DAYS, 1.0)
        if self.orders is None:
            patience = orders.patience * math.sqrt(longer)
            orders = OrderStyle(**{**asdict(orders), "patience": min(patience, 100.0)})
        traits = Traits(
            self.hidden, max(1.0 / longer, LEAST_ACTIVITY), self.wealth, self.receptivity, orders
        )
        base = None if self.base == main_base else self.base
        return Persona(
            self.name,
            self.background,
            (row,) * blocks,
            self.temperature,
            float(self.count),
            base,
            traits=traits,
        )


@dataclass(frozen=True)
class Cast:
    """Who trades.

    Attributes
    ----------
    members
        At least one.
    name
        Of the cast.
    assets
        Of the market; one called ``stock`` with the bundle's history if left out.
    switching
        Probability per day that an investor reconsiders its persona; in a cast, 0.
    """

    members: tuple[Member, ...]
    name: str = "cast"
    assets: tuple[CastAsset, ...] = (CastAsset("stock"),)
    switching: float = 0.0

    def rows(self, member: Member) -> tuple[int, ...]:
        """Return the rows of the assets that a member trades or speaks for."""
        names = [asset.name for asset in self.assets]
        if member.kind == "industry":
            return tuple(names.index(name) for name in member.assets or names)
        return (names.index(member.asset or names[0]),)


def load_cast(path: Path) -> Cast:
    """Read a cast.

    Raises
    ------
    ConfigError
        The file is missing or no YAML mapping, a key is unknown, a value has the wrong type or is
        out of range, or what one member says does not go together.
    """
    return read_cast(read_yaml(path, "a cast"), str(path))


def read_cast(raw: Any, where: str) -> Cast:
    """Make a cast of what a YAML file holds."""
    try:
        cast = read_section(Cast, raw, where)
    except AgentError as error:
        raise ConfigError(f"{where}: members: {error}") from error
    _check(cast, where)
    return cast


def _check(cast: Cast, where: str) -> None:
    def refuse(place: str, complaint: str) -> None:
        raise ConfigError(f"{where}: {place} {complaint}")

    assets = [asset.name for asset in cast.assets]
    if not cast.members:
        refuse("members", "is empty; list at least one, with a name and a count")
    for key, names in (("members", [m.name for m in cast.members]), ("assets", assets)):
        if twice := {name for name in names if names.count(name) > 1}:
            refuse(key, f"has {min(twice)!r} twice; names must be unique")
    if not assets or not 0 <= cast.switching <= 1:
        refuse("assets" if not assets else "switching", "expected one asset or more, and 0 to 1")
    if not any(member.kind != "rule" for member in cast.members):
        refuse("members", "has traders that follow rules alone; a cast needs a model's persona")
    for at, member in enumerate(cast.members):
        place = f"members[{at}] ({member.name})"
        for key, least, most in (
            ("count", 1, 1_000_000),
            ("temperature", 0.001, 1_000),
            ("horizon_days", 1, 100_000),
            ("wealth", 0.001, 1_000_000),
            ("receptivity", 0, 1),
        ):
            value = getattr(member, key)
            if not (np.isfinite(value) and least <= value <= most):
                refuse(f"{place}: {key}", f"is {value}, expected {least:g} to {most:g}")
        if member.style and member.mixture:
            refuse(place, "has a style and a mixture; give one of them")
        if not np.isfinite(list(member.mixture.values())).all():
            refuse(f"{place}: mixture", "is not finite")
        if member.never_sees and member.only_sees is not None:
            refuse(place, "has never_sees and only_sees; give one of them")
        for name in (*member.never_sees, *(member.only_sees or ())):
            if name not in FIELD_NAMES:
                refuse(place, f"names field {name!r}, expected some of {', '.join(FIELD_NAMES)}")
        named = [member.asset] if member.asset else [*member.assets]
        if strange := [name for name in named if name not in assets]:
            refuse(place, f"names asset {strange[0]!r}, the cast has {', '.join(assets)}")
        if member.assets and member.kind != "industry":
            refuse(place, f"is of kind {member.kind} and has assets; give asset, or kind: industry")
        if member.asset and member.kind == "industry":
            refuse(place, "is an industry and has asset; give assets")
        if (member.rule is None) == (member.kind == "rule"):
            refuse(place, f"is of kind {member.kind} with rule {member.rule!r}; both or none")
        if member.kind == "rule" and (member.weights or member.base or member.hidden):
            refuse(place, "follows a rule, which has no style, base or masks")

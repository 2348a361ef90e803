"""A cast: who trades, member by member, from one YAML file.

What a member becomes in a market is `experiments.simulate.cast`'s.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from evobourse.agents.bounds import Bounds
from evobourse.agents.observation import FIELD_NAMES
from evobourse.agents.personas.persona import Persona
from evobourse.agents.personas.traits import OrderStyle, Traits, order_style
from evobourse.experiments.config.scenario import Terms
from evobourse.experiments.config.sections import Section, read_section, read_yaml
from evobourse.experiments.errors import ConfigError

Kind = Literal["investor", "company", "industry", "rule"]
Rule = Literal["market-makers", "noise-traders", "forecasters"]
USUAL_HORIZON_DAYS = 20.0
LEAST_ACTIVITY = 0.05


@dataclass(frozen=True)
class CastAsset(Section):
    """An asset of the market.

    Attributes
    ----------
    name
        What members and events call it.
    series
        Real prices before the first day, see `market.series.named.load_series`; the bundle's own
        history if left out.
    until
        Their last day (ISO); all of them if left out.
    terms
        Its own, as a scenario's ``stock``: of a future, say. The scenario's where it says nothing.
    """

    name: str
    series: str | None = None
    until: str | None = None
    terms: Terms = field(default_factory=Terms)


@dataclass(frozen=True)
class Account(Section):
    """What an investor begins with, in the place of what its wealth draws.

    Attributes
    ----------
    cash_cents
        Its cash; of futures it is all that margins and losses are paid from.
    lots
        Its lots of the asset that it trades, below 0 for a short position in a future.
    """

    cash_cents: Annotated[int, Bounds(0, 2**48, "cents")]
    lots: Annotated[int, Bounds(-(2**31), 2**31, "lots")] = 0


@dataclass(frozen=True)
class Member(Section):
    """One kind of trader in a cast.

    Attributes
    ----------
    name
        Unique in the cast.
    count
        How many.
    kind
        An investor; a company that speaks for its ``asset``; an industry that speaks for several,
        its ``assets``; or traders that follow a ``rule``.
    style
        A style of the bundle.
    mixture
        Several styles with coefficients, in the place of one; none of both: the bare model.
    base
        A model of its own, in the form of a config's ``minds.base``; null for the bundle's.
    temperature
        Divides the option logits.
    never_sees
        Fields that it is never shown, of ``trend``, ``value``, ``range``, ``volatility``,
        ``crowd`` and ``news``.
    only_sees
        All fields that it can be shown, in the place of those that it cannot.
    horizon_days
        How long it means to hold: over 20 days it orders more rarely in proportion, 0.05 as often
        at least, and waits longer where orders live for days, as the root of it.
    wealth
        Relative to others.
    account
        What each of them begins with, in the place of a wealth; an ordinary order is then 2 % of
        the lots that this can bear.
    receptivity
        Part of the tone of messages and rumours that it hears.
    background
        For people who read the cast; minds read it where deliberation has ``profiles: true``.
    orders
        Style of its orders; that of its mixture (`agents.personas.traits.ORDER_STYLES`) if left
        out.
    asset
        What it trades or speaks for; the first asset if left out.
    assets
        The same of an industry; all if left out.
    rule
        Which rule-based traders, see `experiments.config.scenario.Beside`.
    """

    name: str
    count: Annotated[int, Bounds(1, 1_000_000, "traders")] = 1
    kind: Kind = "investor"
    style: str | None = None
    mixture: dict[str, Annotated[float, Bounds()]] = field(default_factory=dict)
    base: str | None = None
    temperature: Annotated[float, Bounds(0.001, 1_000)] = 1.0
    never_sees: tuple[str, ...] = ()
    only_sees: tuple[str, ...] | None = None
    horizon_days: Annotated[float, Bounds(1, 100_000, "days")] = USUAL_HORIZON_DAYS
    wealth: Annotated[float, Bounds(0.001, 1_000_000)] = 1.0
    account: Account | None = None
    receptivity: Annotated[float, Bounds(0, 1)] = 1.0
    background: str = ""
    orders: OrderStyle | None = None
    asset: str | None = None
    assets: tuple[str, ...] = ()
    rule: Rule | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.style and self.mixture:
            raise ConfigError("style and mixture are both set; give one of them")
        if self.never_sees and self.only_sees is not None:
            raise ConfigError("never_sees and only_sees are both set; give one of them")
        for key in ("never_sees", "only_sees"):
            for name in getattr(self, key) or ():
                if name not in FIELD_NAMES:
                    raise ConfigError(
                        f"{key} names field {name!r}, expected some of {', '.join(FIELD_NAMES)}"
                    )
        if self.assets and self.kind != "industry":
            raise ConfigError(f"assets are set for kind {self.kind}; give asset, or kind: industry")
        if self.asset and self.kind == "industry":
            raise ConfigError("asset is set for kind industry; give assets")
        if (self.rule is None) == (self.kind == "rule"):
            raise ConfigError(f"rule is {self.rule!r} for kind {self.kind}; give both or none")
        if self.account and (self.kind != "investor" or self.wealth != 1.0):
            other = f"kind {self.kind}" if self.kind != "investor" else f"wealth {self.wealth:g}"
            raise ConfigError(
                f"account and {other} are both set, and an account is an investor's in the place "
                "of a wealth; leave one out"
            )
        if self.kind == "rule" and (self.weights or self.base or self.hidden):
            raise ConfigError("rule is set, and such traders have no style, base or masks")

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
class Cast(Section):
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
    switching: Annotated[float, Bounds(0, 1)] = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        assets = [asset.name for asset in self.assets]
        if not self.members:
            raise ConfigError("members is empty; list at least one, with a name and a count")
        if not assets:
            raise ConfigError("assets is empty; name one, or leave it out")
        for key, names in (("members", [m.name for m in self.members]), ("assets", assets)):
            if twice := {name for name in names if names.count(name) > 1}:
                raise ConfigError(f"{key} has {min(twice)!r} twice; names must be unique")
        if not any(member.kind != "rule" for member in self.members):
            raise ConfigError(
                "members has traders that follow rules alone; a cast needs a model's persona"
            )
        for i, member in enumerate(self.members):
            named = [member.asset] if member.asset else [*member.assets]
            if strange := [name for name in named if name not in assets]:
                raise ConfigError(
                    f"members[{i}] names asset {strange[0]!r}, the cast has {', '.join(assets)}"
                )

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
    return read_section(Cast, raw, where)

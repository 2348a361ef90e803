"""What a scenario's YAML may say."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from evobourse.agents.deliberation.settings import Deliberation
from evobourse.agents.personas.social import Social
from evobourse.experiments.config.orders import ScenarioOrders
from evobourse.experiments.config.sections import read_section, read_yaml
from evobourse.experiments.errors import ConfigError
from evobourse.market.crowd import Clearing
from evobourse.market.instruments import ShortSales

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Terms:
    """Terms of the asset; what is left out is as in the market that the bundle evolved in."""

    price_limit: float | None = None
    fee_bps: int | None = None
    sell_tax_bps: int | None = None
    sell_next_day: bool | None = None
    short_sales: ShortSales | None = None


@dataclass(frozen=True)
class Beside:
    """Rule-based traders beside the personas, by number.

    Market makers quote around an inventory of half their wealth, noise traders send orders of
    all kinds, forecasters weigh value (the last real close), trend and chance equally.
    """

    market_makers: int = 0
    noise_traders: int = 0
    forecasters: int = 0


@dataclass(frozen=True)
class Scenario:
    """A market to put a population into.

    Attributes
    ----------
    turns
        How the orders of each turn of a day meet, see `market.exchange.SessionRules`. Personas
        order in the first one, for the day, or in each if they deliberate.
    stock
        Terms of the asset.
    beside
        Who trades beside the personas.
    events
        File of events, see ``docs/events.md``, from the scenario's own folder; the asset is
        called ``stock`` there.
    society
        Links, posts, rumours and moods among the personas' agents, see `agents.society`; as in
        the bundle if left out.
    deliberation
        How the personas' agents think in every turn, see `agents.deliberation`; they choose at a
        glance, once a day, if left out.
    orders
        The order generator that knows regimes, see `agents.crowds.order_regimes`; as in the bundle
        if left out.
    cast
        File of a cast, see `experiments.config.cast`, from the scenario's own folder, in the place
        of the bundle's personas.
    named_numbers
        The ablation: minds name price and quantity of their orders themselves, see
        `agents.crowds.own_numbers`; not with a cast. Some seconds a day of a hundred agents.
    """

    turns: tuple[Clearing, ...] = ("call",)
    stock: Terms = field(default_factory=Terms)
    beside: Beside = field(default_factory=Beside)
    events: str | None = None
    society: Social | None = None
    deliberation: Deliberation | None = None
    orders: ScenarioOrders | None = None
    cast: str | None = None
    named_numbers: bool = False


@dataclass(frozen=True)
class Size:
    """Of a market: its personas' agents, its days, and the seed of every draw."""

    agents: int
    days: int
    seed: int


def load_scenario(path: Path) -> Scenario:
    """Read a scenario, the paths of its events and cast made such from here.

    Raises
    ------
    ConfigError
        The file is missing or no YAML mapping, a key is unknown or a value has the wrong type.
    """
    scenario = read_section(Scenario, read_yaml(path, "a scenario"), str(path))
    if scenario.named_numbers and scenario.deliberation is not None:
        raise ConfigError(
            f"{path}: named_numbers and deliberation are both set; agents who deliberate price by "
            "the order generator: leave one out"
        )
    events, cast = (file and str(path.parent / file) for file in (scenario.events, scenario.cast))
    return replace(scenario, events=events, cast=cast)

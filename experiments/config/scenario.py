"""A scenario: a market to put a population into, from one YAML file."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

from evobourse.agents.bounds import Bounds
from evobourse.agents.deliberation.settings import Deliberation
from evobourse.agents.personas.social import Social
from evobourse.experiments.config.orders import ScenarioOrders
from evobourse.experiments.config.sections import Section, read_section, read_yaml
from evobourse.experiments.errors import ConfigError
from evobourse.market.instruments import ShortSales
from evobourse.market.rules import Clearing

Count = Annotated[int, Bounds(0, unit="traders")]


@dataclass(frozen=True)
class Terms(Section):
    """Terms of the asset; null is as in the market that the bundle evolved in.

    Attributes
    ----------
    kind
        ``equity``, paid in full and owned; or ``future``, a position to either side whose gains
        and losses are paid every day at the settlement price.
    tick_cents
        Value of one tick of one unit.
    lot_units
        Units in a lot: shares of a round lot, a contract's size. Orders count lots.
    price_limit
        Largest distance of a limit price from the day's reference, as a fraction of it.
    fee_bps
        Fee on the value traded, paid by each side.
    sell_tax_bps
        Tax on the value sold.
    sell_next_day
        Whether what was bought can be sold on the next day at the earliest (T+1).
    short_sales
        Whether more may be sold than is held; ``uptick``: at a limit above the last trade alone.
    initial_margin_bps, maintenance_margin_bps
        Cash that a future's or a short position takes, of its value: to be opened; to be kept.
    """

    kind: Literal["equity", "future"] | None = None
    tick_cents: Annotated[int, Bounds(1, 2**20, "cents")] | None = None
    lot_units: Annotated[int, Bounds(1, 2**20, "units")] | None = None
    price_limit: Annotated[float, Bounds(0, 1, above=True)] | None = None
    fee_bps: Annotated[int, Bounds(0, 10_000, "basis points")] | None = None
    sell_tax_bps: Annotated[int, Bounds(0, 10_000, "basis points")] | None = None
    sell_next_day: bool | None = None
    short_sales: ShortSales | None = None
    initial_margin_bps: Annotated[int, Bounds(1, 10_000, "basis points")] | None = None
    maintenance_margin_bps: Annotated[int, Bounds(1, 10_000, "basis points")] | None = None

    def over(self, others: Terms) -> Terms:
        """Return these terms, others where they say nothing."""
        given = {key: value for key, value in asdict(self).items() if value is not None}
        return replace(others, **given)


@dataclass(frozen=True)
class Beside(Section):
    """Rule-based traders beside the personas.

    Attributes
    ----------
    market_makers
        They quote around an inventory of half their wealth.
    noise_traders
        They send orders of all kinds.
    forecasters
        They weigh value (the last real close), trend and chance equally.
    person_lots
        What a person holds whose orders are events of kind ``order``, and has as much in cash; 0
        for nobody.
    """

    market_makers: Count = 0
    noise_traders: Count = 0
    forecasters: Count = 0
    person_lots: Annotated[int, Bounds(0, 10**9, "lots")] = 0


@dataclass(frozen=True)
class ScenarioNews(Section):
    """News with dates, said to all agents on the day of the market that has its date.

    Attributes
    ----------
    file
        CSV with a header: ``date``, ``text``; see ``docs/news.md``; from the scenario's own folder.
    series
        Whose trading days the market's days are: a shipped name, or a price file.
    first_day
        The date (ISO) of day 0; null for that of the first news. What is older is left out.
    tone
        ``minds``: the personas' minds read each sentence once, and how good they find it is heard
        by agents who see words alone. ``none``: by agents who deliberate alone, who read it.
    """

    file: str
    series: str = "sp500"
    first_day: str | None = None
    tone: Literal["none", "minds"] = "none"


@dataclass(frozen=True)
class Scenario(Section):
    """A market to put a population into.

    Attributes
    ----------
    turns
        How the orders of each turn of a day meet, see `market.session.SessionRules`. Personas
        order in the first one, for the day, or in each if they deliberate.
    stock
        Terms of the asset.
    beside
        Who trades beside the personas.
    events
        File of events, see ``docs/events.md``, from the scenario's own folder; the asset is
        called ``stock`` there.
    news
        News with dates, beside the events.
    society
        Links, posts, rumours and moods among the personas' agents; as in the bundle if left out.
    mechanisms
        Whether the society's mechanisms act. They are of agents who choose at a glance: false
        where agents deliberate, name numbers themselves, or send orders that live for days.
    deliberation
        How the personas' agents think in every turn; they choose at a glance, once a day, if left
        out.
    orders
        The order generator that knows regimes; as in the bundle if left out.
    cast
        File of a cast, see ``docs/casts.md``, from the scenario's own folder, in the place of the
        bundle's personas.
    named_numbers
        The ablation: minds name price and quantity of their orders themselves, see
        `agents.crowds.own_numbers`; agents who deliberate do so on their page. Such orders are for
        the day. Some seconds a day of a hundred agents.
    """

    turns: tuple[Clearing, ...] = ("call",)
    stock: Terms = field(default_factory=Terms)
    beside: Beside = field(default_factory=Beside)
    events: str | None = None
    news: ScenarioNews | None = None
    society: Social | None = None
    mechanisms: bool = True
    deliberation: Deliberation | None = None
    orders: ScenarioOrders | None = None
    cast: str | None = None
    named_numbers: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        contest = self.society and self.society.contest
        if (
            self.deliberation is not None
            and contest
            and (contest.replaced or contest.by != "profit")
        ):
            raise ConfigError(
                "deliberation and society.contest are both set, and agents who deliberate are "
                "neither replaced nor ranked by fidelity; set contest.replaced: 0 and by: profit"
            )
        if self.news is not None and self.news.tone == "none" and self.deliberation is None:
            raise ConfigError(
                "news.file is set and nobody reads it, since agents choose at a glance; set "
                "news.tone: minds, or deliberation"
            )
        self.refuse_futures("stock", self.stock)

    def refuse_futures(self, name: str, terms: Terms) -> None:
        """Refuse an asset whose kind does not go with how the personas compete.

        Raises
        ------
        ConfigError
            It is a future, and they are ranked by what they own.
        """
        if terms.kind == "future" and self.society and self.society.contest:
            raise ConfigError(
                f"society.contest and kind: future of {name} are both set, and society.contest "
                "counts what agents own, which a future is not; leave one out"
            )


@dataclass(frozen=True)
class Size:
    """Of a market: its personas' agents, its days, and the seed of every draw."""

    agents: int
    days: int
    seed: int


def load_scenario(path: Path) -> Scenario:
    """Read a scenario, the paths of its events, news and cast made such from here.

    Raises
    ------
    ConfigError
        The file is missing or no YAML mapping, a key is unknown, or a value has the wrong type or
        is out of range.
    """
    scenario = read_section(Scenario, read_yaml(path, "a scenario"), str(path))
    events, cast = (file and str(path.parent / file) for file in (scenario.events, scenario.cast))
    news = scenario.news and replace(scenario.news, file=str(path.parent / scenario.news.file))
    return replace(scenario, events=events, news=news, cast=cast)

"""A scenario: what a bundle's population is put into, from one YAML file.

Knows: the day's turns, the asset's terms, who trades beside the personas, what happens to them.
Deliberately knows nothing of models: the personas come with their choices made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agents.asking_crowd import seat_crowd
from agents.society.settings import Social
from evolve.bundle import Bundle
from experiments.yaml_sections import read_section, read_yaml
from market.crowd import Clearing, Crowd
from market.crowds.chiarella_iori import Forecasters, ForecastRule
from market.crowds.market_maker import MakerRule, MarketMakers
from market.crowds.noise_trader import NoiseFlow, NoiseTraders
from market.errors import MarketError
from market.event_schedule import load_schedule
from market.exchange import Exchange
from market.instruments import Instrument, ShortSales
from market.journal import TapeJournal, describe_instruments
from market.recorded_tape import RecordedTape, read_tape
from market.recording import Recorder
from market.session import SessionRules

if TYPE_CHECKING:
    from agents.encodings.encoded_minds import EncodedMinds

STOCK = "stock"


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
        order in the first one, for the day.
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
    """

    turns: tuple[Clearing, ...] = ("call",)
    stock: Terms = field(default_factory=Terms)
    beside: Beside = field(default_factory=Beside)
    events: str | None = None
    society: Social | None = None


def load_scenario(path: Path) -> Scenario:
    """Read a scenario, its events' path made one from here.

    Raises
    ------
    ConfigError
        The file is missing or no YAML mapping, a key is unknown or a value has the wrong type.
    """
    scenario: Scenario = read_section(Scenario, read_yaml(path, "a scenario"), str(path))
    if scenario.events is None:
        return scenario
    return replace(scenario, events=str(path.parent / scenario.events))


def run_scenario(
    scenario: Scenario,
    bundle: Bundle,
    choices: NDArray[np.float64] | EncodedMinds,
    agents: int,
    days: int,
    seed: int,
    out: Path,
    on_day: Callable[[int], None] | None = None,
    further: Sequence[tuple[Crowd, int]] = (),
) -> RecordedTape:
    """Let a bundle's population trade in a scenario, and record the tape as it runs.

    Parameters
    ----------
    scenario
        Where.
    bundle, choices
        Who, and what their minds choose, see `agents.crowd.tabulate_choices`, or minds to be asked
        as it goes.
    agents, days, seed
        Personas' agents, days, and the seed of every draw.
    out
        Folder for the tape; it must not hold one of another run.
    on_day
        Called with each day simulated.
    further
        Crowds beside the scenario's, and the shares of each of their agents, who has as much in
        cash.

    Raises
    ------
    MarketError
        An event does not fit the market, or the folder cannot be written.
    """
    of_personas, of_market, of_noise, of_forecasters, of_events = (
        np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(key,)))
        for key in (1, 2, 3, 4, 5)
    )
    population = bundle.population
    if scenario.society is not None:
        common = replace(population.society, social=scenario.society)
        population = replace(population, society=common)
    personas = seat_crowd(population, choices, bundle.offsets, agents, of_personas)
    endowed, close = personas.accounts(), int(bundle.history[-1])
    lots = int(np.median(endowed.shares))
    seats: list[tuple[Crowd, int]] = []  # crowds beside the personas, and shares of each agent
    beside = scenario.beside
    if beside.market_makers:
        stock = 20 * lots
        quotes = MakerRule(lots=max(1, lots // 10), most_lots=2 * stock)
        seats.append((MarketMakers(quotes, np.full(beside.market_makers, stock)), stock))
    if beside.noise_traders:
        rate = beside.noise_traders / 10
        flow = NoiseFlow(rate, rate / 3, mean_lots=max(1.0, lots / 20))
        seats.append((NoiseTraders(flow, beside.noise_traders, of_noise), lots))
    if beside.forecasters:
        weights = of_forecasters.exponential(size=(beside.forecasters, 3))
        rule = ForecastRule(lots=max(1, lots // 20))
        seats.append((Forecasters(weights, float(close), rule, of_forecasters), lots))
    seats += further
    others = np.repeat([held for _, held in seats], [crowd.n_agents for crowd, _ in seats])
    others = others.astype(np.int64)
    shares = np.concatenate([endowed.shares, others])
    cash = np.concatenate([endowed.cash_cents, others * close * bundle.rules.tick_cents])
    exchange = Exchange(
        [_instrument(scenario, bundle)],
        [bundle.history],
        [personas, *(crowd for crowd, _ in seats)],
        cash,
        shares[:, None],
        of_market,
        SessionRules(scenario.turns),
        load_schedule(Path(scenario.events), of_events) if scenario.events else None,
    )
    with Recorder(out, describe_instruments(exchange)) as recorder:
        if recorder.day:
            raise MarketError(f"{out} holds a tape of {recorder.day} days; name another folder")
        exchange.keep(TapeJournal(recorder, accounts_every=max(1, days // 50)))
        exchange.run(days, on_day)
    return read_tape(out)


def _instrument(scenario: Scenario, bundle: Bundle) -> Instrument:
    rules = bundle.rules
    given = {key: value for key, value in asdict(scenario.stock).items() if value is not None}
    own = {
        "tick_cents": rules.tick_cents,
        "price_limit": rules.price_limit,
        "fee_bps": rules.fee_bps,
    }
    return Instrument(STOCK, **{**own, **given})

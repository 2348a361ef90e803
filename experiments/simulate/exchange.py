"""A scenario: what a bundle's population is put into, from one YAML file.

It says the day's turns, the asset's terms, who trades beside the personas, and what happens.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.crowds.asking import AskingCrowd
from evobourse.agents.crowds.offsets import OffsetClusters
from evobourse.agents.crowds.order_regimes import OrderRegimes
from evobourse.agents.crowds.persona_crowd import PersonaCrowd
from evobourse.agents.minds.choices import tabulate_choices
from evobourse.agents.minds.stand_ins import Minds
from evobourse.agents.personas.mechanisms import OFF
from evobourse.agents.personas.persona import Persona, Population
from evobourse.agents.personas.social import Contest
from evobourse.agents.personas.traits import Traits, order_style
from evobourse.evolve.bundle import Bundle
from evobourse.evolve.durable import replace_bytes
from evobourse.experiments.config.scenario import Scenario, Size, Terms
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.simulate.happenings import schedule_of
from evobourse.experiments.sweep.orders import fit_scenario_orders
from evobourse.market.crowd import Crowd
from evobourse.market.crowds.chiarella_iori import Forecasters, ForecastRule
from evobourse.market.crowds.market_maker import MakerRule, MarketMakers
from evobourse.market.crowds.noise_trader import NoiseFlow, NoiseTraders
from evobourse.market.crowds.person import RecordedPerson
from evobourse.market.errors import MarketError
from evobourse.market.events.kinds import Event
from evobourse.market.events.schedule import EventSchedule
from evobourse.market.exchange import Exchange
from evobourse.market.instruments import Instrument
from evobourse.market.session import SessionRules
from evobourse.market.tape.journal import TapeJournal, describe_instruments
from evobourse.market.tape.recorded import RecordedTape, read_tape
from evobourse.market.tape.recorder import Recorder

if TYPE_CHECKING:
    from evobourse.agents.deliberation.thinking import Thinker
    from evobourse.agents.encodings.encoded_minds import EncodedMinds

STOCK = "stock"


def run_scenario(
    scenario: Scenario,
    bundle: Bundle,
    choices: NDArray[np.float64] | EncodedMinds | Thinker,
    size: Size,
    out: Path,
    on_day: Callable[[int], None] | None = None,
    further: Sequence[tuple[Crowd, int]] = (),
    minds: Minds | None = None,
) -> RecordedTape:
    """Let a bundle's population trade in a scenario, and record the tape as it runs.

    Parameters
    ----------
    scenario, bundle, choices, size, further, minds
        See `build_scenario`.
    out
        Folder for the tape; it must not hold one of another run.
    on_day
        Called with each day simulated.

    Raises
    ------
    MarketError
        An event does not fit the market, or the folder cannot be written.
    """
    exchange = build_scenario(scenario, bundle, choices, size, further, minds)
    return record_run(exchange, size.days, out, on_day)


def build_scenario(
    scenario: Scenario,
    bundle: Bundle,
    choices: NDArray[np.float64] | EncodedMinds | Thinker,
    size: Size,
    further: Sequence[tuple[Crowd, int]] = (),
    minds: Minds | None = None,
    events: Sequence[Event] | None = None,
) -> Exchange:
    """Put a bundle's population into a scenario, ready to play.

    Parameters
    ----------
    scenario
        Where.
    bundle, choices
        Who, and what their minds choose, see `agents.minds.choices.tabulate_choices`, or minds to
        be asked as it goes, or what thinks for the personas' agents.
    size
        Of the market; its days say how much of the scenario's news can be heard.
    further
        Crowds beside the scenario's, and the shares of each of their agents, who has as much in
        cash.
    minds
        What answered, for a contest that replaces personas and for news that minds give a tone.
    events
        What happens, in the place of the scenario's own events and news.

    Raises
    ------
    MarketError
        The scenario's events cannot be read.
    """
    of_personas, of_market, of_noise, of_forecasters, of_events = (
        np.random.default_rng(np.random.SeedSequence(size.seed, spawn_key=(key,)))
        for key in (1, 2, 3, 4, 5)
    )
    _refuse_numbers(scenario, choices)
    terms = instrument(scenario, bundle)
    population = in_society(scenario, bundle.population)
    refuse_equity([terms], population)
    offsets, turns = bundle.offsets, len(scenario.turns)
    if scenario.orders is not None:
        offsets = fit_scenario_orders(scenario.orders)
        if scenario.orders.by_style:
            population = with_order_styles(population, [path.name for path in bundle.adapters])
    offsets = for_named_numbers(scenario, offsets)
    agents = size.agents
    personas: PersonaCrowd
    if isinstance(choices, np.ndarray):
        personas = (PersonaCrowd if not scenario.named_numbers else naming(minds))(
            population,
            choices,
            offsets,
            agents,
            of_personas,
            turns=turns,
            styles=[path.name for path in bundle.adapters] if social_contest(population) else (),
            tabulate=None if minds is None else lambda people: tabulate_choices([people], minds)[0],
        )
    else:
        from evobourse.agents.deliberation.thinking import Thinker  # models, there by now

        if isinstance(choices, Thinker):
            cents, future = terms.lot_tick_cents, terms.kind == "future"
            personas = deliberate(scenario)(
                population, choices, offsets, agents, of_personas, turns, cents, future=future
            )
        else:
            personas = AskingCrowd(population, choices, offsets, agents, of_personas, turns=turns)
    endowed, close = personas.accounts(), int(bundle.history[-1])
    lots, future = int(np.median(endowed.shares)), terms.kind == "future"
    seats: list[tuple[Crowd, int]] = []  # crowds beside the personas, and shares of each agent
    beside = scenario.beside
    if beside.market_makers:
        seats.append(market_makers(beside.market_makers, lots, future=future))
    if beside.noise_traders:
        seats.append(noise_traders(beside.noise_traders, lots, of_noise))
    if beside.forecasters:
        seats.append(forecasters(beside.forecasters, lots, close, of_forecasters))
    if beside.person_lots:
        seats.append((RecordedPerson([STOCK]), beside.person_lots))
    seats += further
    others = np.repeat([held for _, held in seats], [crowd.n_agents for crowd, _ in seats])
    others = others.astype(np.int64)
    shares = np.concatenate([endowed.shares, others])[:, None]
    own_cash = endowed.cash_cents * terms.lot_tick_cents
    cash = np.concatenate([own_cash, others * close * terms.lot_tick_cents])
    if events is not None:
        schedule: EventSchedule | None = EventSchedule(events, of_events)
    else:
        schedule = schedule_of(scenario, size.days, of_events, population.personas, minds)
    return Exchange(
        [terms],
        [bundle.history],
        [personas, *(crowd for crowd, _ in seats)],
        *endow([terms], cash, shares, np.array([close])),
        of_market,
        SessionRules(scenario.turns),
        schedule,
    )


def in_society(scenario: Scenario, population: Population) -> Population:
    """Return a population with a scenario's links, and without mechanisms where it wants none."""
    society = population.society
    if scenario.society is not None:
        society = replace(society, social=scenario.society)
    if not scenario.mechanisms:
        society = replace(society, mechanisms=OFF)
    return replace(population, society=society)


def endow(
    instruments: Sequence[Instrument],
    cash_cents: NDArray[np.int64],
    lots: NDArray[np.int64],
    closes_ticks: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give what agents are meant to own of futures in cash: positions arise from trades alone.

    Parameters
    ----------
    instruments
        Of A assets.
    cash_cents, lots, closes_ticks
        int64[n], [n, A], [A].

    Returns
    -------
    tuple
        Cash int64[n] and positions int64[n, A], 0 in futures.
    """
    future = np.array([one.kind == "future" for one in instruments])
    value = closes_ticks * np.array([one.lot_tick_cents for one in instruments]) * future
    return cash_cents + lots @ value, np.where(future, 0, lots)


def refuse_equity(instruments: Sequence[Instrument], population: Population) -> None:
    """Refuse orders by what agents own where that is not shares at a cent a tick and cash.

    Raises
    ------
    ConfigError
        An asset is a future, or its ticks and lots are others.
    """
    if not population.society.mechanisms.equity_sized:
        return
    for asset in instruments:
        if asset.kind == "future" or asset.lot_tick_cents != 1:
            raise ConfigError(
                f"the population's mechanisms.equity_sized and the terms of {asset.name!r} do not "
                "go together, since equity is counted in shares at a cent a tick; trade such shares"
            )


def _refuse_numbers(scenario: Scenario, choices: object) -> None:
    """Refuse what minds that are asked in numbers, day by day, cannot do."""
    if isinstance(choices, np.ndarray) or not hasattr(choices, "encoding"):
        return
    encoding = f"minds.encoding {choices.encoding.name!r}"
    if scenario.news is not None:
        raise ConfigError(
            f"news.tone: minds and {encoding} are both set, and sentences are read in words; set "
            "minds.encoding: words"
        )
    if scenario.named_numbers:
        raise ConfigError(
            f"named_numbers and {encoding} are both set, and numbers are named in words; set "
            "minds.encoding: words"
        )
    contest = scenario.society and scenario.society.contest
    if contest and (contest.replaced or contest.by != "profit"):
        raise ConfigError(
            f"society.contest and {encoding} are both set, and such personas are neither replaced "
            "nor ranked by fidelity; set contest.replaced: 0 and by: profit"
        )


def for_named_numbers(
    scenario: Scenario, offsets: OffsetClusters | OrderRegimes
) -> OffsetClusters | OrderRegimes:
    """Return the order generator of a scenario; orders whose numbers are named are for the day."""
    if scenario.named_numbers and isinstance(offsets, OrderRegimes):
        return replace(offsets, longest_days=1)
    return offsets


def deliberate(scenario: Scenario) -> Callable[..., PersonaCrowd]:
    """Return the crowds of a deliberate scenario, which may name their own numbers."""
    from evobourse.agents.deliberation.crowd import DeliberateCrowd  # models, there by now
    from evobourse.agents.deliberation.naming import NamingDeliberateCrowd

    return NamingDeliberateCrowd if scenario.named_numbers else DeliberateCrowd


def naming(minds: Minds | None) -> Callable[..., PersonaCrowd]:
    """Make crowds whose minds write their own numbers."""
    from evobourse.agents.crowds.own_numbers import NamingCrowd, NumberWriter
    from evobourse.agents.minds.engine import engine_of  # models

    engine = engine_of(minds, "named_numbers")

    def seat(*arguments: Any, **options: Any) -> PersonaCrowd:
        crowd = NamingCrowd(*arguments, **options)
        crowd.name_with(NumberWriter(engine))
        return crowd

    return seat


def record_run(
    exchange: Exchange, days: int, out: Path, on_day: Callable[[int], None] | None = None
) -> RecordedTape:
    """Play days of an exchange, and record its tape in a folder that holds none."""
    with Recorder(out, describe_instruments(exchange)) as recorder:
        if recorder.day:
            raise MarketError(f"{out} holds a tape of {recorder.day} days; name another folder")
        exchange.keep(TapeJournal(recorder, accounts_every=max(1, days // 50)))
        exchange.run(days, lambda day: pay_contests(exchange, day, on_day))
    contests = [
        {"first_agent": first, "rounds": [one.as_json() for one in crowd.rivalry.rounds]}
        for crowd, first, _ in exchange.floor.seats()
        if isinstance(crowd, PersonaCrowd) and crowd.rivalry is not None
    ]
    if contests:
        replace_bytes(out / "contest.json", (json.dumps(contests, indent=2) + "\n").encode())
    return read_tape(out)


def pay_contests(exchange: Exchange, day: int, on_day: Callable[[int], None] | None = None) -> None:
    """Pay what contests move between accounts at the end of a day, then call ``on_day``."""
    for crowd, first, _ in exchange.floor.seats():
        if isinstance(crowd, PersonaCrowd) and crowd.rivalry is not None:
            due = crowd.take_transfers()
            for agent in np.flatnonzero(due).tolist():
                exchange.grant(first + agent, int(due[agent]))
    if on_day is not None:
        on_day(day)


Seat = tuple[Crowd, int]
"""A crowd beside the personas, and the shares of each of its agents."""


def market_makers(count: int, lots: int, asset: int = 0, future: bool = False) -> Seat:
    """Seat market makers beside investors who typically hold so many lots; no stock of a future."""
    stock = 20 * lots
    wanted = np.full(count, 0 if future else stock)
    return MarketMakers(maker_rule(lots), wanted, asset), stock


def maker_rule(lots: int) -> MakerRule:
    """Return how market makers quote beside investors who typically hold so many lots."""
    return MakerRule(lots=max(1, lots // 10), most_lots=40 * lots)


def noise_traders(count: int, lots: int, rng: np.random.Generator, asset: int = 0) -> Seat:
    """Seat noise traders."""
    rate = count / 10
    flow = NoiseFlow(rate, rate / 3, mean_lots=max(1.0, lots / 20))
    return NoiseTraders(flow, count, rng, asset), lots


def forecasters(
    count: int, lots: int, close: int, rng: np.random.Generator, asset: int = 0
) -> Seat:
    """Seat forecasters, whose value is the last real close."""
    weights = rng.exponential(size=(count, 3))
    rule = ForecastRule(lots=max(1, lots // 20))
    return Forecasters(weights, float(close), rule, rng, asset), lots


def social_contest(population: Population) -> Contest | None:
    """Return how a population's personas compete, if they do."""
    social = population.society.social
    return None if social is None else social.contest


def with_order_styles(population: Population, styles: Sequence[str]) -> Population:
    """Give each persona the style of orders of its mixture, see `personas.traits.ORDER_STYLES`."""

    def styled(persona: Persona) -> Persona:
        weights = np.array(persona.mixture).mean(axis=0)
        orders = order_style(dict(zip(styles, weights.tolist(), strict=True)))
        return replace(persona, traits=replace(persona.traits or Traits(), orders=orders))

    return replace(population, personas=tuple(map(styled, population.personas)))


def instrument(
    scenario: Scenario, bundle: Bundle, name: str = STOCK, terms: Terms | None = None
) -> Instrument:
    """Return an asset on terms of its own, the scenario's, or the bundle's, the first that say."""
    rules = bundle.rules
    whole = scenario.stock if terms is None else terms.over(scenario.stock)
    given = {key: value for key, value in asdict(whole).items() if value is not None}
    own = {
        "tick_cents": rules.tick_cents,
        "price_limit": rules.price_limit,
        "fee_bps": rules.fee_bps,
    }
    return Instrument(name, **{**own, **given})

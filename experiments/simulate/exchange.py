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
from evobourse.agents.crowds.persona_crowd import PersonaCrowd
from evobourse.agents.minds.choices import tabulate_choices
from evobourse.agents.minds.stand_ins import Minds
from evobourse.agents.personas.persona import Persona, Population
from evobourse.agents.personas.social import Contest
from evobourse.agents.personas.traits import Traits, order_style
from evobourse.evolve.bundle import Bundle
from evobourse.evolve.durable import replace_bytes
from evobourse.experiments.config.scenario import Scenario, Size
from evobourse.experiments.sweep.orders import fit_scenario_orders
from evobourse.market.crowd import Crowd
from evobourse.market.crowds.chiarella_iori import Forecasters, ForecastRule
from evobourse.market.crowds.market_maker import MakerRule, MarketMakers
from evobourse.market.crowds.noise_trader import NoiseFlow, NoiseTraders
from evobourse.market.crowds.person import RecordedPerson
from evobourse.market.errors import MarketError
from evobourse.market.events.kinds import Event
from evobourse.market.events.schedule import EventSchedule, load_schedule
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
        Of the market; its days are not read.
    further
        Crowds beside the scenario's, and the shares of each of their agents, who has as much in
        cash.
    minds
        What answered, for a contest that replaces personas.
    events
        What happens, in the place of the scenario's own.

    Raises
    ------
    MarketError
        The scenario's events cannot be read.
    """
    of_personas, of_market, of_noise, of_forecasters, of_events = (
        np.random.default_rng(np.random.SeedSequence(size.seed, spawn_key=(key,)))
        for key in (1, 2, 3, 4, 5)
    )
    population = bundle.population
    if scenario.society is not None:
        common = replace(population.society, social=scenario.society)
        population = replace(population, society=common)
    offsets, turns = bundle.offsets, len(scenario.turns)
    if scenario.orders is not None:
        offsets = fit_scenario_orders(scenario.orders)
        if scenario.orders.by_style:
            population = with_order_styles(population, [path.name for path in bundle.adapters])
    agents = size.agents
    personas: PersonaCrowd
    if isinstance(choices, np.ndarray):
        personas = (PersonaCrowd if not scenario.named_numbers else _naming(minds))(
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
        from evobourse.agents.deliberation.crowd import (
            DeliberateCrowd,  # models, which are there by now
        )
        from evobourse.agents.deliberation.thinking import Thinker

        if isinstance(choices, Thinker):
            cents = bundle.rules.tick_cents
            personas = DeliberateCrowd(
                population, choices, offsets, agents, of_personas, turns, cents
            )
        else:
            personas = AskingCrowd(population, choices, offsets, agents, of_personas, turns=turns)
    endowed, close = personas.accounts(), int(bundle.history[-1])
    lots = int(np.median(endowed.shares))
    seats: list[tuple[Crowd, int]] = []  # crowds beside the personas, and shares of each agent
    beside = scenario.beside
    if beside.market_makers:
        seats.append(market_makers(beside.market_makers, lots))
    if beside.noise_traders:
        seats.append(noise_traders(beside.noise_traders, lots, of_noise))
    if beside.forecasters:
        seats.append(forecasters(beside.forecasters, lots, close, of_forecasters))
    if beside.person_lots:
        seats.append((RecordedPerson([STOCK]), beside.person_lots))
    seats += further
    others = np.repeat([held for _, held in seats], [crowd.n_agents for crowd, _ in seats])
    others = others.astype(np.int64)
    shares = np.concatenate([endowed.shares, others])
    cash = np.concatenate([endowed.cash_cents, others * close * bundle.rules.tick_cents])
    schedule = None if events is None else EventSchedule(events, of_events)
    if schedule is None and scenario.events:
        schedule = load_schedule(Path(scenario.events), of_events)
    return Exchange(
        [instrument(scenario, bundle)],
        [bundle.history],
        [personas, *(crowd for crowd, _ in seats)],
        cash,
        shares[:, None],
        of_market,
        SessionRules(scenario.turns),
        schedule,
    )


def _naming(minds: Minds | None) -> Callable[..., PersonaCrowd]:
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


def market_makers(count: int, lots: int, asset: int = 0) -> Seat:
    """Seat market makers beside investors who typically hold so many lots."""
    stock = 20 * lots
    return MarketMakers(maker_rule(lots), np.full(count, stock), asset), stock


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


def instrument(scenario: Scenario, bundle: Bundle, name: str = STOCK) -> Instrument:
    """Return an asset on a scenario's terms, the bundle's where it says nothing."""
    rules = bundle.rules
    given = {key: value for key, value in asdict(scenario.stock).items() if value is not None}
    own = {
        "tick_cents": rules.tick_cents,
        "price_limit": rules.price_limit,
        "fee_bps": rules.fee_bps,
    }
    return Instrument(name, **{**own, **given})

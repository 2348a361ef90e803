"""A cast in a market: its members as crowds of one exchange, on the bases and assets it names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.casts.speakers import PromptMinds, Speaker, Speakers
from evobourse.agents.crowds.persona_crowd import PersonaCrowd, history_ticks
from evobourse.agents.errors import AgentError
from evobourse.agents.minds.choices import tabulate_choices
from evobourse.agents.minds.endpoint import is_endpoint
from evobourse.agents.minds.stand_ins import Minds
from evobourse.agents.minds.stored_answers import StoredMinds
from evobourse.agents.personas.persona import Persona, Population
from evobourse.evolve.bases.base_pool import BasePool
from evobourse.evolve.bases.protocol import Bases, PersonaBase
from evobourse.evolve.bundle import Bundle
from evobourse.evolve.markets import MIN_HISTORY_DAYS
from evobourse.experiments.config.cast import Account, Cast, CastAsset, Member, Rule
from evobourse.experiments.config.scenario import Scenario
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.simulate.cast_refusals import refuse_open_interest, refuse_pairs
from evobourse.experiments.simulate.exchange import (
    Seat,
    deliberate,
    endow,
    for_named_numbers,
    forecasters,
    in_society,
    instrument,
    maker_rule,
    market_makers,
    naming,
    noise_traders,
    record_run,
    refuse_equity,
)
from evobourse.experiments.simulate.happenings import schedule_of
from evobourse.experiments.simulate.thinkers import open_thinker
from evobourse.experiments.sweep.orders import fit_scenario_orders
from evobourse.market.crowd import Crowd
from evobourse.market.crowds.person import RecordedPerson
from evobourse.market.events.kinds import Event
from evobourse.market.events.schedule import EventSchedule
from evobourse.market.exchange import Exchange
from evobourse.market.instruments import Instrument
from evobourse.market.series.named import load_series
from evobourse.market.session import SessionRules
from evobourse.market.tape.recorded import RecordedTape

if TYPE_CHECKING:
    from evobourse.agents.deliberation.thinking import Thinker

LOTS = 100
"""What an investor holds where no investor says, see `persona_crowd.PersonaCrowd.accounts`."""

_SPEAKERS_KEY, _RULES_KEY = 6, 7


@dataclass(frozen=True)
class CastMarket:
    """An exchange with a cast in it.

    Attributes
    ----------
    exchange
        Ready to play.
    investors
        The crowd of investors of each asset that has any, by the asset's row.
    personas
        Name of each persona by its number on the tape.
    members
        Name of the member that each agent belongs to, in the exchange's order.
    thinker
        What thinks for investors who deliberate; None for others.
    """

    exchange: Exchange
    investors: dict[int, PersonaCrowd]
    personas: tuple[str, ...]
    members: tuple[str, ...]
    thinker: Thinker | None = None


def open_cast_bases(bundle: Bundle, cast: Cast) -> Bases:
    """Open the bundle's bases and those that members name, with the bundle's adapters."""
    named = dict.fromkeys(m.base for m in cast.members if m.base and m.base != bundle.base)
    return bundle.own_bases({base: PersonaBase(bundle.adapters) for base in named})


def populations(cast: Cast, bundle: Bundle) -> dict[int, Population]:
    """Return the investors of each asset that has any, by the asset's row."""
    styles = [path.name for path in bundle.adapters]
    society = replace(bundle.population.society, switching=cast.switching)
    found: dict[int, list[Persona]] = {}
    for member in cast.members:
        if member.kind == "investor":
            [row] = cast.rows(member)
            persona = member.persona(styles, bundle.blocks, bundle.base)
            found.setdefault(row, []).append(persona)
    return {row: Population(tuple(found[row]), society) for row in sorted(found)}


def build_cast(
    scenario: Scenario,
    cast: Cast,
    bundle: Bundle,
    minds: Minds,
    days: int,
    seed: int,
    on_stage: Callable[[str], None] | None = None,
    events: Sequence[Event] | None = None,
) -> CastMarket:
    """Put a cast into a scenario.

    Parameters
    ----------
    scenario
        Turns, terms, events, society and orders; its own traders beside come on top, in the first
        asset.
    cast, bundle
        Who, and the bundle whose styles, society, spread and history they have.
    minds
        What answers for all personas, see `agents.minds.choices.tabulate_choices`.
    days, seed
        Days that will be played, and the seed of every draw.
    on_stage
        Called with each stage of a deliberate turn.
    events
        What happens, in the place of the scenario's own events and news.

    Raises
    ------
    ConfigError
        A style or a series does not fit, or what the scenario and the cast ask for does not go
        together.
    AgentError
        A company or industry is on a base that takes no prompts.
    """

    def stream(*key: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))

    histories = [asset_history(asset, bundle) for asset in cast.assets]
    people = {row: in_society(scenario, one) for row, one in populations(cast, bundle).items()}
    refuse_pairs(scenario, cast, bundle)
    instruments = [instrument(scenario, bundle, one.name, one.terms) for one in cast.assets]
    refuse_equity(instruments, in_society(scenario, bundle.population))
    accounts = {member.name: member.account for member in cast.members if member.account}
    thinker = None
    tables = [np.empty((0, 0, 5))] * len(people)
    if scenario.deliberation is not None:
        thinker = open_thinker(scenario.deliberation, bundle, minds, on_stage)
    else:
        tables = tabulate_choices(list(people.values()), minds)
    offsets = fit_scenario_orders(scenario.orders) if scenario.orders else bundle.offsets
    offsets = for_named_numbers(scenario, offsets)
    crowds: list[tuple[Crowd, NDArray[np.int64]]] = []  # and lots of each agent, [n, A]
    members: list[str] = []
    personas: list[str] = []
    investors: dict[int, PersonaCrowd] = {}
    lots = dict.fromkeys(range(len(cast.assets)), LOTS)  # what investors of an asset typically hold
    for (row, population), choices in zip(people.items(), tables, strict=True):
        counts = [round(persona.share) for persona in population.personas]
        # the first asset's draw as a scenario's personas do
        rng = stream(1) if row == 0 else stream(1, row)
        names = [persona.name for persona in population.personas]
        agents, turns = sum(counts), len(scenario.turns)
        if thinker is not None:
            cents = instruments[row].lot_tick_cents
            given = (population, thinker.among(names), offsets, agents, rng, turns, cents, row)
            future = instruments[row].kind == "future"
            crowd = deliberate(scenario)(*given, first_persona=len(personas), future=future)
        else:
            crowd = (naming(minds) if scenario.named_numbers else PersonaCrowd)(
                population,
                choices,
                offsets,
                agents,
                rng,
                row,
                turns,
                first_persona=len(personas),
                styles=[path.name for path in bundle.adapters],
                tabulate=lambda people: tabulate_choices([people], minds)[0],
            )
        investors[row] = crowd
        for agent, p in enumerate(crowd.persona):
            if account := accounts.get(names[p]):
                bearable = bearable_lots(account, instruments[row], int(histories[row][-1]))
                crowd.wealth[agent] = bearable / LOTS  # by which its orders are sized
        held = np.zeros((crowd.n_agents, len(cast.assets)), np.int64)
        held[:, row] = crowd.accounts().shares
        lots[row] = int(np.median(held[:, row]))
        crowds.append((crowd, held))
        members += [names[p] for p in crowd.persona]
        personas += names
    speaking = [m for m in cast.members if m.kind in ("company", "industry")]
    if speaking:
        social = next(iter(people.values())).society.social if people else None
        speakers = _speakers(cast, speaking, bundle, lots)
        speaking_crowd = Speakers(
            speakers,
            lambda persona: prompt_minds(minds, persona),
            maker_rule(round(np.mean(list(lots.values())))),
            len(cast.assets),
            stream(_SPEAKERS_KEY),
            first_persona=len(personas),
            columns=_further_columns(scenario, social is not None),
        )
        crowds.append((speaking_crowd, speaking_crowd.target_lots.copy()))
        members += [speaker.persona.name for speaker in speakers]
        personas += [speaker.persona.name for speaker in speakers]
    for at, member in enumerate(cast.members):
        if member.kind == "rule":
            [row] = cast.rows(member)
            terms = instruments[row]
            seat = _seat(member, row, lots, int(histories[row][-1]), stream(_RULES_KEY, at), terms)
            crowds.append(_endowed(seat, row, len(cast.assets)))
            members += [member.name] * member.count
    beside: tuple[tuple[int, Rule], ...] = (
        (scenario.beside.market_makers, "market-makers"),
        (scenario.beside.noise_traders, "noise-traders"),
        (scenario.beside.forecasters, "forecasters"),
    )
    for at, (count, rule) in enumerate(beside):
        if count:
            member = Member(rule, count, "rule", rule=rule)
            terms = instruments[0]
            seat = _seat(member, 0, lots, int(histories[0][-1]), stream(2 + at), terms)
            crowds.append(_endowed(seat, 0, len(cast.assets)))
            members += [f"beside: {rule}"] * count
    if scenario.beside.person_lots:  # last, where whoever shows a market looks for a person
        held = np.zeros((1, len(cast.assets)), np.int64)
        held[0, 0] = scenario.beside.person_lots
        crowds.append((RecordedPerson([asset.name for asset in cast.assets]), held))
        members.append("beside: person")
    if events is not None:
        schedule: EventSchedule | None = EventSchedule(events, stream(5))
    else:
        readers = [persona for one in people.values() for persona in one.personas]
        schedule = schedule_of(scenario, days, stream(5), readers, minds)
    position = np.concatenate([held for _, held in crowds])
    closes = np.array([history[-1] for history in histories])
    cash = position @ (closes * np.array([one.lot_tick_cents for one in instruments]))
    cash, position = endow(instruments, cash, position, closes)
    rows = {member.name: cast.rows(member)[0] for member in cast.members}
    for agent, name in enumerate(members):
        if account := accounts.get(name):
            cash[agent], position[agent] = account.cash_cents, 0
            position[agent, rows[name]] = account.lots
    refuse_open_interest(instruments, position)
    exchange = Exchange(
        instruments,
        histories,
        [crowd for crowd, _ in crowds],
        cash,
        position,
        stream(2),
        SessionRules(scenario.turns),
        schedule,
    )
    return CastMarket(exchange, investors, tuple(personas), tuple(members), thinker)


def run_cast(
    scenario: Scenario,
    cast: Cast,
    bundle: Bundle,
    minds: Minds,
    days: int,
    seed: int,
    out: Path,
    on_day: Callable[[int], None] | None = None,
) -> RecordedTape:
    """Let a cast trade in a scenario, and record the tape as it runs; see `build_cast`."""
    market = build_cast(scenario, cast, bundle, minds, days, seed)
    return record_run(market.exchange, days, out, on_day)


def bearable_lots(account: Account, terms: Instrument, close_ticks: int) -> float:
    """Return the lots that an account can bear: of a future by its margin, else half its worth."""
    lot_cents = close_ticks * terms.lot_tick_cents
    if terms.kind == "future":
        return account.cash_cents / (lot_cents * terms.initial_margin_bps / 10_000)
    return (account.cash_cents / lot_cents + account.lots) / 2


def _further_columns(scenario: Scenario, social: bool) -> dict[str, float | int | bool]:
    """Return the columns of investors' decisions that speakers lack, each with what says so."""
    columns: dict[str, float | int | bool] = {"mood": 0.0} if social else {}
    if scenario.deliberation is not None:
        columns |= {"own": np.nan, "advice": 0, "advised": np.nan, "lean": np.nan}
    if scenario.named_numbers:
        columns |= {"offset_percent": np.nan, "lots": np.nan, "malformed": False}
    return columns


def prompt_minds(minds: Any, persona: Persona) -> PromptMinds:
    """Return what answers prompts of a persona.

    Raises
    ------
    AgentError
        Its base takes views alone, as a server's and a stand-in do.
    """
    if isinstance(minds, StoredMinds):
        minds = minds.live
    engine = minds.engine(persona.base) if isinstance(minds, BasePool) else minds
    if not hasattr(engine, "answer_prompts"):
        base = persona.base or "the bundle's"
        why = "is a server" if persona.base and is_endpoint(persona.base) else "takes no prompts"
        raise AgentError(
            f"persona {persona.name!r}: speaks for assets, and base {base} {why}; give it a model "
            "here"
        )
    return engine  # type: ignore[no-any-return]


def _speakers(
    cast: Cast, members: Sequence[Member], bundle: Bundle, lots: Mapping[int, int]
) -> list[Speaker]:
    styles = [path.name for path in bundle.adapters]
    speakers = []
    for member in members:
        assets = cast.rows(member)
        wanted = tuple(max(1, round(20 * lots[row] * member.wealth)) for row in assets)
        for number in range(member.count):
            persona = member.persona(styles, bundle.blocks, bundle.base)
            name = member.name if member.count == 1 else f"{member.name}-{number + 1}"
            speakers.append(Speaker(replace(persona, name=name), assets, wanted))
    return speakers


def _seat(
    member: Member,
    row: int,
    lots: Mapping[int, int],
    close: int,
    rng: np.random.Generator,
    terms: Instrument,
) -> Seat:
    own = max(1, round(lots[row] * member.wealth))
    if member.rule == "market-makers":
        return market_makers(member.count, own, row, terms.kind == "future")
    if member.rule == "noise-traders":
        return noise_traders(member.count, own, rng, row)
    return forecasters(member.count, own, close, rng, row)


def _endowed(seat: Seat, row: int, assets: int) -> tuple[Crowd, NDArray[np.int64]]:
    crowd, lots = seat
    held = np.zeros((crowd.n_agents, assets), np.int64)
    held[:, row] = lots
    return crowd, held


def asset_history(asset: CastAsset, bundle: Bundle) -> NDArray[np.int64]:
    """Return an asset's closes in ticks before the first day.

    Raises
    ------
    ConfigError
        No date, or too few days before it.
    """
    if asset.series is None:
        return bundle.history
    series = load_series(asset.series, close_only=True)
    stop = len(series)
    if asset.until is not None:
        try:
            stop = int((series.dates <= np.datetime64(asset.until)).sum())
        except ValueError as error:
            raise ConfigError(
                f"cast: asset {asset.name!r}: until is {asset.until!r}, expected a date (ISO)"
            ) from error
    if stop < MIN_HISTORY_DAYS:
        raise ConfigError(
            f"cast: asset {asset.name!r}: {asset.series} has {stop} days up to {asset.until}, "
            f"expected at least {MIN_HISTORY_DAYS}"
        )
    return history_ticks(series.close[:stop])

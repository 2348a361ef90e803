"""Where a population plays: real histories, markets side by side, their tapes.

A path's seed fixes its window of real history and every random draw in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import starmap
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.crowds.asking import seat_crowd
from evobourse.agents.crowds.offsets import OffsetClusters
from evobourse.agents.crowds.order_regimes import OrderRegimes
from evobourse.agents.crowds.persona_crowd import PersonaCrowd, history_ticks
from evobourse.agents.crowds.whole_days import play_days
from evobourse.agents.minds.choices import tabulate_choices
from evobourse.agents.minds.stand_ins import Minds
from evobourse.agents.observation import HISTORY_DAYS
from evobourse.agents.personas.persona import Population
from evobourse.evolve.executors.executor import Calls, Executor, InProcess
from evobourse.market.daily_auction import Market, simulate
from evobourse.market.rules import MarketRules
from evobourse.market.series.named import PriceSeries
from evobourse.market.series.splits import Split, window_starts
from evobourse.market.tape.daily_tape import Tape

if TYPE_CHECKING:
    from evobourse.agents.encodings.encoded_minds import EncodedMinds

T = TypeVar("T")

MIN_HISTORY_DAYS = HISTORY_DAYS + 1

Part = tuple[Population, NDArray[np.int64], int]
"""One market: a population, the price history in ticks int64[H] before it, and a seed."""


@dataclass(frozen=True)
class World:
    """What every market of an experiment has in common.

    Attributes
    ----------
    offsets
        Spread of limit prices, or the order generator that knows regimes, fitted on training years.
    rules
        Of the market.
    n_agents
        Agents in each market.
    days
        Days simulated.
    """

    offsets: OffsetClusters | OrderRegimes
    rules: MarketRules
    n_agents: int
    days: int


@dataclass(frozen=True)
class MarketWindows:
    """A world on windows of a real series.

    Attributes
    ----------
    series
        Real prices; a path sees those before its window, rescaled, and nothing else.
    world
        Where populations play.
    """

    series: PriceSeries
    world: World

    def window_start(self, split: Split, seed: int) -> int:
        """Return the row of the series at which the window of a path seed begins."""
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,)))
        return int(window_starts(split, self.world.days, 1, rng, MIN_HISTORY_DAYS)[0])

    def history(self, split: Split, seed: int) -> NDArray[np.int64]:
        """Return the price history in ticks, int64[H], that precedes a path seed's window."""
        return self.history_before(self.window_start(split, seed))

    def history_before(self, start: int) -> NDArray[np.int64]:
        """Return the price history in ticks, int64[H], that ends before a row of the series."""
        return history_ticks(self.series.close[:start])


def play(
    world: World,
    parts: Sequence[Part],
    minds: Minds,
    executor: Executor | None = None,
    on_market: Callable[[], None] = lambda: None,
) -> list[Tape]:
    """Ask the minds for all that can be met, then run the markets, several at a time.

    Parameters
    ----------
    world
        Rules, agents, days.
    parts
        The markets. Those with one seed share all their random numbers.
    minds
        What answers for every population, here and now; markets run without it.
    executor
        Runs the markets, by default here and now; the tapes do not depend on it.
    on_market
        Called after each market.

    Returns
    -------
    list of Tape
        Prices alone, one a part, in order; each the same whatever the others are.
    """
    populations = list({id(part[0]): part[0] for part in parts}.values())
    tables = tabulate_choices(populations, minds)
    choices = {id(p): table for p, table in zip(populations, tables, strict=True)}
    return play_tables(world, parts, [choices[id(part[0])] for part in parts], executor, on_market)


def play_tables(
    world: World,
    parts: Sequence[Part],
    choices: Sequence[NDArray[np.float64]],
    executor: Executor | None = None,
    on_market: Callable[[], None] = lambda: None,
) -> list[Tape]:
    """Run the markets as `play` does, of populations whose minds were asked.

    Parameters
    ----------
    choices
        Of each part's population, see `agents.minds.choices.tabulate_choices`. The others: see
        `play`.
    """
    run = executor or InProcess()
    calls = Calls()
    futures = []
    asked = list(zip(parts, choices, strict=True))
    for chunk in in_chunks(asked, run.workers):
        own, tables = [part for part, _ in chunk], [table for _, table in chunk]
        future = run.submit(play_markets, world, own, tables)
        futures.append(calls.add(future, partial(_tell, on_market, len(chunk))))
    calls.wait()
    return [tape for future in futures for tape in future.result()]


def _tell(on_market: Callable[[], None], markets: int) -> None:
    for _ in range(markets):
        on_market()


def in_chunks(items: Sequence[T], workers: int) -> list[Sequence[T]]:
    """Cut work into runs for workers to take at once: about four for each, so that none idles."""
    size = max(1, -(-len(items) // (4 * workers)))
    return [items[start : start + size] for start in range(0, len(items), size)]


def play_markets(
    world: World,
    parts: Sequence[Part],
    choices: Sequence[NDArray[np.float64]],
    threads: int = 1,
) -> list[Tape]:
    """Run markets to their ends, and keep their prices: what a worker is handed at once.

    Parameters
    ----------
    world, parts
        See `play`.
    choices
        Of each part's population, see `agents.minds.choices.tabulate_choices`.
    threads
        Among which the markets are shared: compiled days hold no lock. The tapes do not depend on
        it.
    """
    calls = [(world, part, table) for part, table in zip(parts, choices, strict=True)]
    if threads == 1:
        return list(starmap(play_market, calls))
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda call: play_market(*call), calls))


def play_market(
    world: World,
    part: Part,
    choices: NDArray[np.float64] | EncodedMinds,
    record: Literal["prices", "full"] = "prices",
    on_day: Callable[[int], None] | None = None,
) -> Tape:
    """Run one market to its end.

    Parameters
    ----------
    world, part
        See `play`.
    choices
        Of the part's population, see `agents.minds.choices.tabulate_choices`, or minds to be asked
        as it goes.
    record
        Whether the tape holds orders and decisions beside prices.
    on_day
        Called with each day simulated.
    """
    population, history, seed = part
    of_crowd, of_market = (
        np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(key,))) for key in (1, 2)
    )
    crowd = seat_crowd(population, choices, world.offsets, world.n_agents, of_crowd)
    market = Market(world.rules, history, crowd.accounts(), of_market, record)

    def close(day: int) -> None:
        market.accounts.cash_cents += crowd.take_transfers()
        if on_day is not None:
            on_day(day)

    if type(crowd) is not PersonaCrowd:  # it asks models day by day
        simulate([market], [crowd], world.days, close)
    elif on_day is None:
        play_days(market, crowd, world.days)
    else:
        for day in range(world.days):
            play_days(market, crowd, 1)
            on_day(day)
    return market.tape()

"""A rumour among a bundle's agents: the same markets with and without it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evobourse.agents.observation import FIELD_NAMES, decode_view
from evobourse.agents.personas.social import Social
from evobourse.evolve.bundle import Bundle
from evobourse.experiments.config.scenario import Scenario, Size
from evobourse.experiments.simulate.exchange import STOCK, run_scenario
from evobourse.market.events.kinds import Event, Rumour, SettleAt
from evobourse.market.events.schedule import EventSchedule
from evobourse.market.events.values import Agents
from evobourse.market.tape.recorded import RecordedTape

NEVER = 2**31
TEXT = "The auditors have found a hole."


@dataclass(frozen=True)
class Plan:
    """The size of a comparison.

    Attributes
    ----------
    agents, days
        Of each market.
    day
        When the rumour is planted.
    planted
        At how many agents.
    tone
        How good it is, in standard deviations of an ordinary day's news.
    """

    agents: int = 1_000
    days: int = 30
    day: int = 15
    planted: int = 10
    tone: float = -3.0


@dataclass(frozen=True, eq=False)
class Pair:
    """One seed's market with the rumour, beside the same market without.

    Attributes
    ----------
    heard_day
        int64[n]: when each agent heard the rumour, `NEVER` if it did not.
    change
        Tendency with the rumour less without, int64[days, n].
    saw_news
        Who could see the day's news, and so hear a rumour, in both markets: bool[days, n].
    price_change
        Log of the close with the rumour over that without, float64[days].
    off_links
        Tellings between agents who were not linked that morning.
    too_far
        Agents who heard the rumour sooner than one link a day from those planted allows, over
        the links of all days so far.
    tellings
        Columns day, agent (who heard it) and other (from whom).
    """

    heard_day: NDArray[np.int64]
    change: NDArray[np.int64]
    saw_news: NDArray[np.bool_]
    price_change: NDArray[np.float64]
    off_links: int
    too_far: int
    tellings: pd.DataFrame

    def reached(self, day: int) -> int:
        """Count the agents who had heard it by a day."""
        return int((self.heard_day <= day).sum())

    def change_of(self, day: int, reached: bool, saw_news: bool = False) -> float:
        """Return the mean change of those who had heard it by a day, or of those who never do.

        Of all of them, or of those among them who saw the news that day; NaN for none.
        """
        told = self.heard_day <= day if reached else self.heard_day == NEVER
        told = told & self.saw_news[day] if saw_news else told
        return float(self.change[day, told].mean()) if told.any() else float("nan")

    def changed_unreached(self, day: int) -> int:
        """Count those who had not heard it by a day and decide otherwise on that day."""
        return int((self.change[day, self.heard_day > day] != 0).sum())


def run_free(
    bundle: Bundle,
    choices: NDArray[np.float64],
    social: Social,
    plan: Plan,
    seed: int,
    on_run: Callable[[], None] = lambda: None,
) -> tuple[Pair, Pair, NDArray[np.int64]]:
    """Run a market without a rumour, with one planted at opinion leaders, and one at others.

    Returns
    -------
    by_leaders, by_others
        The leaders are the most liked agents of that morning; the others are drawn from all.
    closes
        Without the rumour, int64[days].
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(6,)))
    size = (bundle, choices, social, plan, seed)
    without = _run(*size, ())
    on_run()
    leaders = most_liked(without, plan, social.decay)
    others = np.sort(rng.permutation(plan.agents)[: plan.planted])
    pairs = []
    for rows in (leaders, others):
        pairs.append(_compare(_run(*size, (_plant(plan, rows),)), without, plan, rows))
        on_run()
    return pairs[0], pairs[1], without["prices"]["close_ticks"].to_numpy()


def run_alone(
    bundle: Bundle,
    choices: NDArray[np.float64],
    social: Social,
    plan: Plan,
    seed: int,
    closes: NDArray[np.int64],
    on_run: Callable[[], None] = lambda: None,
) -> Pair:
    """Run a market with and without the rumour in which nothing but the rumour can tell.

    Every close is authored, ``closes`` int64[days] in both markets; nobody sees what others do
    or feel, and nobody changes persona.
    """
    society = bundle.population.society
    deaf = replace(society, mask={**society.mask, "crowd": 1.0}, switching=0.0)
    quiet = replace(bundle, population=replace(bundle.population, society=deaf))
    size = (quiet, choices, social, plan, seed)
    pinned = [
        SettleAt(day=day, asset=STOCK, price_ticks=int(close)) for day, close in enumerate(closes)
    ]
    without = _run(*size, pinned)
    on_run()
    rows = most_liked(without, plan, social.decay)
    told = _run(*size, [_plant(plan, rows), *pinned])
    on_run()
    return _compare(told, without, plan, rows)


def most_liked(tables: dict[str, pd.DataFrame], plan: Plan, decay: float) -> NDArray[np.int64]:
    """Return the agents with the most likes, faded, before the day of the rumour, rising."""
    given = tables["readings"]
    given = given[given["liked"] & (given["day"] < plan.day)]
    weight = np.exp(-decay * (plan.day - given["day"].to_numpy()))
    likes = np.bincount(given["other"], weight, minlength=plan.agents)
    return np.sort(np.argsort(-likes, kind="stable")[: plan.planted])


def _plant(plan: Plan, rows: NDArray[np.int64]) -> Event:
    agents = Agents(rows=tuple(rows.tolist()))
    return Rumour(day=plan.day, agents=agents, text=TEXT, is_true=False, tone=plan.tone)


def _run(
    bundle: Bundle,
    choices: NDArray[np.float64],
    social: Social,
    plan: Plan,
    seed: int,
    events: Sequence[Event],
) -> dict[str, pd.DataFrame]:
    with tempfile.TemporaryDirectory(prefix="evobourse-") as folder:
        file = Path(folder) / "events.yaml"
        file.write_text(EventSchedule(events).to_yaml())
        scenario = Scenario(events=str(file), society=social)
        size = Size(plan.agents, plan.days, seed)
        tape = run_scenario(scenario, bundle, choices, size, Path(folder) / "tape")
        return _read(tape)


def _read(tape: RecordedTape) -> dict[str, pd.DataFrame]:
    columns = {
        "prices": ["day", "close_ticks"],
        "decisions": ["day", "agent", "view", "tendency"],
        "links": ["day", "agent", "other"],
        "readings": ["day", "other", "liked"],
        "tellings": ["day", "agent", "other"],
    }
    return {table: tape.frame(table, names) for table, names in columns.items()}


def _compare(
    told: dict[str, pd.DataFrame],
    without: dict[str, pd.DataFrame],
    plan: Plan,
    rows: NDArray[np.int64],
) -> Pair:
    tendency, closes = (
        [tables[name][column].to_numpy() for tables in (told, without)]
        for name, column in (("decisions", "tendency"), ("prices", "close_ticks"))
    )
    heard_day = np.full(plan.agents, NEVER)
    heard_day[rows] = plan.day
    tellings = told["tellings"]
    soonest = plan.day + least_days(told["links"], plan, rows)
    heard_day[tellings["agent"]] = tellings["day"]
    news = FIELD_NAMES.index("news")
    saw = [decode_view(x["decisions"]["view"].to_numpy())[:, news] >= 0 for x in (told, without)]
    shape = plan.days, plan.agents
    return Pair(
        heard_day,
        (tendency[0] - tendency[1]).reshape(shape),
        (saw[0] & saw[1]).reshape(shape),
        np.log(closes[0] / closes[1]),
        _count_off_links(told),
        int(((heard_day < soonest) & (heard_day != NEVER)).sum()),
        tellings,
    )


def least_days(links: pd.DataFrame, plan: Plan, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many links away from the planted each agent is, over the links of all days.

    A breadth-first distance, int64[n]; `NEVER` for who is in no component of theirs.
    """
    import networkx

    graph = networkx.Graph()
    graph.add_nodes_from(range(plan.agents))
    since = links[links["day"] > plan.day]
    graph.add_edges_from(since[["agent", "other"]].drop_duplicates().to_numpy().tolist())
    found = networkx.multi_source_dijkstra_path_length(graph, set(rows.tolist()), weight=None)
    distance = np.full(plan.agents, NEVER)
    distance[list(found)] = list(found.values())
    return distance


def _count_off_links(tables: dict[str, pd.DataFrame]) -> int:
    tellings, links = tables["tellings"], tables["links"]
    ends = np.sort(tellings[["agent", "other"]].to_numpy(), axis=1)
    asked = pd.DataFrame({"day": tellings["day"], "agent": ends[:, 0], "other": ends[:, 1]})
    return int((asked.merge(links, how="left", indicator=True)["_merge"] != "both").sum())

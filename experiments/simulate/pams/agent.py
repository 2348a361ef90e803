"""The agent class by which PAMS trades a bundle's minds, and a run of an exported folder.

PAMS (EPL 2.0) is no dependency: it is imported where it is installed.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import pandas as pd

from evobourse.experiments.errors import ConfigError
from evobourse.experiments.simulate.bundle import open_population
from evobourse.experiments.simulate.pams.minds import SteppedPopulation

try:
    from pams.agents import Agent
    from pams.logs import Logger
    from pams.order import LIMIT_ORDER, Cancel, Order
    from pams.runners import SequentialRunner
except ImportError:
    Agent = Logger = object
    SequentialRunner = None

CENTS = 100
"""Ticks of the market in a unit of PAMS's prices and cash."""

LOG_COLUMNS = ("what", "step", "order", "agent", "side", "price_ticks", "quantity", "against")


class MindAgent(Agent):  # type: ignore[misc]
    """One agent of an exported population; ``pams.agents.Agent``.

    Settings of its group: ``bundle``, the folder, and ``seed``. All agents of a group are one
    population. Where a session collects orders without executing them, they are a day's call, and
    the step that follows matches them: then one agent sends a bid of a share at a tick, since
    PAMS matches when an order comes. Elsewhere each step is a day of orders that meet one by one.
    """

    def setup(self, settings: dict[str, Any], accessible_markets_ids: list[int]) -> None:
        """Join the group; accounts are given at the first step, when all are there."""
        super().setup(
            settings={"cashAmount": 0, "assetVolume": 0, **settings},
            accessible_markets_ids=accessible_markets_ids,
        )
        if len(accessible_markets_ids) != 1:
            raise ConfigError("MindAgent: a population trades in one market; name one")
        groups = _GROUPS.setdefault(self.simulator, {})
        key = (settings["bundle"], settings["seed"], accessible_markets_ids[0])
        self._group = groups.setdefault(key, _Group(*key))
        self._row = self._group.join(self)

    def submit_orders(self, markets: list[Any]) -> list[Any]:
        """Return what the agent orders in this step."""
        [market] = [m for m in markets if m.market_id == self._group.market]
        return self._group.orders_of(self._row, market)


class _Group:
    """The agents of one population in one market."""

    def __init__(self, bundle: str, seed: int, market: int) -> None:
        self.market, self._bundle, self._seed = market, bundle, seed
        self._agents: list[Any] = []
        self._resting: list[list[Any]] = []  # what each agent sent last
        self._people: SteppedPopulation | None = None
        self._step, self._collected = -1, False
        self._to_send: dict[int, list[Any]] = {}

    def join(self, agent: Any) -> int:
        self._agents.append(agent)
        self._resting.append([])
        return len(self._agents) - 1

    def orders_of(self, row: int, market: Any) -> list[Any]:
        step = int(market.get_time())
        if step != self._step:
            self._step = step
            if self._collected:
                self._to_send, self._collected = {row: [self._order(row, True, 1, 1)]}, False
            else:
                self._begin(market, step)
                self._collected = not self._agents[
                    row
                ].simulator.current_session.with_order_execution
        return self._to_send.pop(row, [])

    def _begin(self, market: Any, step: int) -> None:
        """Learn of the day that is over, and ask everybody about the next."""
        people = self._people
        if people is None:
            people = self._people = self._open()
        else:
            self._read_accounts(people)
            close = round(market.get_market_price(step - 1) * CENTS)
            people.settle(close, int(market.get_executed_volume(step - 1)))
        self._to_send = {}
        cents, lots = people.cash_cents.copy(), people.position.copy()
        for row, sent in enumerate(self._resting):
            self._resting[row] = []
            for old in sent:
                if old.volume == 0 or old.is_expired(step):
                    continue
                self._to_send.setdefault(row, []).append(Cancel(order=old))
                if old.is_buy:
                    cents[row] -= round(old.price * CENTS) * old.volume
                else:
                    lots[row] -= old.volume
        orders = people.ask(cents, lots)
        columns = (orders.agent, orders.side, orders.price_ticks, orders.quantity)
        for row, side, price, quantity in zip(*(c.tolist() for c in columns), strict=True):
            order = self._order(row, side > 0, price, quantity)
            self._resting[row].append(order)
            self._to_send.setdefault(row, []).append(order)

    def _order(self, row: int, is_buy: bool, price_ticks: int, quantity: int) -> Any:
        """Make an order that is gone after the step that follows its own."""
        return Order(
            agent_id=self._agents[row].agent_id,
            market_id=self.market,
            is_buy=is_buy,
            kind=LIMIT_ORDER,
            volume=quantity,
            price=price_ticks / CENTS,
            ttl=1,
        )

    def _open(self) -> SteppedPopulation:
        people = SteppedPopulation(open_population(self._bundle), len(self._agents), self._seed)
        owned = zip(self._agents, people.cash_cents, people.position, strict=True)
        for agent, cents, lots in owned:
            agent.set_cash_amount(int(cents) / CENTS)
            agent.set_asset_volume(self.market, int(lots))
        return people

    def _read_accounts(self, people: SteppedPopulation) -> None:
        cash = [round(agent.get_cash_amount() * CENTS) for agent in self._agents]
        lots = [agent.get_asset_volume(self.market) for agent in self._agents]
        people.cash_cents[:], people.position[:] = cash, lots


_GROUPS: WeakKeyDictionary[Any, dict[tuple[str, int, int], _Group]] = WeakKeyDictionary()


class _Record(Logger):  # type: ignore[misc]
    """Keeps what PAMS's book did, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[Any, ...]] = []

    def process_order_log(self, log: Any) -> None:
        price, side = round(log.price * CENTS), 1 if log.is_buy else -1
        self._keep("order", log.time, log.order_id, log.agent_id, side, price, log.volume)

    def process_cancel_log(self, log: Any) -> None:
        self._keep("cancel", log.cancel_time, log.order_id, log.agent_id)

    def process_expiration_log(self, log: Any) -> None:
        self._keep("expire", log.time, log.order_id, log.agent_id)

    def process_execution_log(self, log: Any) -> None:
        price = round(log.price * CENTS)
        buy, sell = log.buy_order_id, log.sell_order_id
        self._keep("trade", log.time, buy, log.buy_agent_id, 0, price, log.volume, sell)

    def write(self, log: Any) -> None:
        self.process([log])

    def bulk_write(self, logs: list[Any]) -> None:
        self.process(logs)

    def _keep(self, *row: Any) -> None:
        self.rows.append(row + (0,) * (len(LOG_COLUMNS) - len(row)))


def play(folder: Path, days: int | None = None) -> pd.DataFrame:
    """Run an exported folder in PAMS.

    Parameters
    ----------
    folder
        See `simulate.pams.export.export_pams`.
    days
        To play of the config's; all by default.

    Returns
    -------
    pandas.DataFrame
        `LOG_COLUMNS`, a row for all that PAMS's book did, in order: ``order``, ``cancel``,
        ``expire``, and ``trade``, whose ``order`` is the buy order's number and ``against`` the
        sell order's.

    Raises
    ------
    ConfigError
        PAMS is not installed.
    """
    if SequentialRunner is None:
        raise ConfigError("PAMS is not installed here: pip install --no-deps pams==0.3.0 tqdm")
    settings = json.loads((folder / "config.json").read_text())
    for group in settings["simulation"]["agents"]:
        settings[group]["bundle"] = str(folder / settings[group]["bundle"])
    if days is not None:
        del settings["simulation"]["sessions"][2 * days :]
    record = _Record()
    runner = SequentialRunner(settings, random.Random(settings["Minds"]["seed"]), record)
    runner.class_register(MindAgent)
    runner.main()
    return pd.DataFrame(record.rows, columns=list(LOG_COLUMNS))


def main(folder: Path) -> None:
    """Run an exported folder, write ``log.csv``, and print what came of it as JSON."""
    from evobourse.experiments.simulate.pams.matching import compare_matching

    log = play(folder, int(sys.argv[1]) if len(sys.argv) > 1 else None)
    log.to_csv(folder / "log.csv", index=False)
    print(json.dumps(compare_matching(log), indent=2))

"""A bundle's market as an environment of Gymnasium, or of PettingZoo with several traders."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from evobourse.experiments.config.scenario import Scenario, Size, load_scenario
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.simulate.bundle import OpenPopulation, open_population
from evobourse.experiments.simulate.traders import SEEN, Step, TraderMarket, TraderRules
from evobourse.market.book.order_events import Reason

try:  # extras: who makes an environment without its library is told
    import gymnasium
    from gymnasium.spaces import Box
except ImportError:
    gymnasium = None
try:
    import pettingzoo
except ImportError:
    pettingzoo = None

_ORDER = 2
_SEEDS = 2**31


def _space(size: int) -> Any:
    return Box(-1.0, 1.0, (size,), np.float32)


def _tell(came: Step, row: int) -> dict[str, Any]:
    return {
        "equity_cents": int(came.equity_cents[row]),
        "filled_lots": int(came.filled_lots[row]),
        "reason": Reason(int(came.reason[row])).name.lower(),
    }


def _open(
    library: object,
    place: str | Path | OpenPopulation,
    scenario: str | Path | Scenario | None,
    size: Size,
    rules: TraderRules,
) -> TraderMarket:
    if gymnasium is None or library is None:
        raise ConfigError(
            "environments need the extra gymnasium: pip install 'evobourse[gymnasium]'"
        )
    if isinstance(scenario, str | Path):
        scenario = load_scenario(Path(scenario))
    opened = place if isinstance(place, OpenPopulation) else open_population(place)
    return TraderMarket(opened, size, scenario, rules)


class TraderEnvironment(gymnasium.Env if gymnasium else object):  # type: ignore[misc]
    """One trader among a population's agents; ``gymnasium.Env``.

    A step is a turn of the market, a day where a day is one auction. Observations are float32[28]
    in -1..1, see `TraderMarket.observe`; actions float32[2], see `TraderMarket.step`; the reward
    is the change of the trader's log equity, so that an episode's sum is its log return. An
    episode is truncated after its days, and terminated when the trader owns nothing.

    Parameters
    ----------
    place
        A bundle's folder, a config, or an open population, which several environments may share.
    agents, days
        Of the market, and days of an episode.
    scenario
        A scenario or its file; one call auction a day by default.
    lots, reach
        See `TraderRules`.

    Raises
    ------
    ConfigError
        Gymnasium is not installed, or the scenario cannot be traded in from outside.

    Notes
    -----
    ``reset(seed=...)`` fixes all draws of this and of all later episodes: the same seed and the
    same actions are the same bytes.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}

    def __init__(
        self,
        place: str | Path | OpenPopulation,
        agents: int = 400,
        days: int = 250,
        scenario: str | Path | Scenario | None = None,
        lots: int = 100,
        reach: float = 0.05,
    ) -> None:
        rules, size = TraderRules(1, lots, reach), Size(agents, days, 0)
        self.market = _open(gymnasium, place, scenario, size, rules)
        self.observation_space, self.action_space = _space(len(SEEN)), _space(_ORDER)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin an episode in a market of its own."""
        super().reset(seed=seed)
        drawn = int(self.np_random.integers(_SEEDS))
        [seen] = self.market.reset(drawn)
        return seen, {"market_seed": drawn}

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Play the next turn with the trader's order."""
        came = self.market.step(np.asarray(action, np.float64)[None])
        [seen] = self.market.observe()
        info = {"day": self.market.day, "price_ticks": self.market.price_ticks, **_tell(came, 0)}
        return seen, float(came.reward[0]), bool(came.equity_cents[0] <= 0), came.over, info


class TradersEnvironment(pettingzoo.ParallelEnv if pettingzoo else object):  # type: ignore[misc]
    """Several traders in one market; ``pettingzoo.ParallelEnv``.

    Each sees, does and earns as the one of `TraderEnvironment`; they meet each other in the
    market.

    Parameters
    ----------
    place, agents, days, scenario, lots, reach
        See `TraderEnvironment`.
    traders
        How many.
    """

    metadata: ClassVar[dict[str, Any]] = {"name": "evobourse_market_v0", "render_modes": []}
    render_mode = None

    def __init__(
        self,
        place: str | Path | OpenPopulation,
        traders: int = 2,
        agents: int = 400,
        days: int = 250,
        scenario: str | Path | Scenario | None = None,
        lots: int = 100,
        reach: float = 0.05,
    ) -> None:
        rules, size = TraderRules(traders, lots, reach), Size(agents, days, 0)
        self.market = _open(pettingzoo, place, scenario, size, rules)
        self.possible_agents = [f"trader_{row}" for row in range(traders)]
        self.agents: list[str] = []
        self._spaces = {name: (_space(len(SEEN)), _space(_ORDER)) for name in self.possible_agents}
        self._draws = np.random.default_rng()

    def observation_space(self, agent: str) -> Any:
        """Return the space of what a trader sees."""
        return self._spaces[agent][0]

    def action_space(self, agent: str) -> Any:
        """Return the space of what a trader does."""
        return self._spaces[agent][1]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, NDArray[np.float32]], dict[str, dict[str, Any]]]:
        """Begin an episode in a market of its own, all traders in it."""
        if seed is not None:
            self._draws = np.random.default_rng(seed)
        drawn = int(self._draws.integers(_SEEDS))
        self.agents = list(self.possible_agents)
        seen = self.market.reset(drawn)
        return self._named(seen), {name: {"market_seed": drawn} for name in self.agents}

    def step(self, actions: dict[str, NDArray[np.float32]]) -> tuple[dict[str, Any], ...]:
        """Play the next turn; who is in no actions, or has nothing left, orders nothing."""
        still = [self.possible_agents.index(name) for name in self.agents]
        wanted = np.zeros((len(self.possible_agents), _ORDER))
        for row in still:
            wanted[row] = actions.get(self.possible_agents[row], 0.0)
        came = self.market.step(wanted)
        ruined = came.equity_cents <= 0
        columns = (
            self.market.observe(),
            came.reward.tolist(),
            ruined.tolist(),
            [came.over] * len(ruined),
            [_tell(came, row) for row in range(len(ruined))],
        )
        named = tuple(self._named(column) for column in columns)
        self.agents = [] if came.over else [name for name in self.agents if not named[2][name]]
        return named

    def _named(self, column: Any) -> dict[str, Any]:
        rows = enumerate(self.possible_agents)
        return {name: column[row] for row, name in rows if name in self.agents}


if gymnasium is not None:
    gymnasium.register("evobourse/Market-v0", TraderEnvironment)

"""A user's own strategy as a crowd: any callable that turns a view into orders."""

from collections.abc import Callable
from typing import Any

from evobourse.market.crowd import Crowd, DayOutcome, MarketView, Orders, TurnOutcome
from evobourse.market.errors import MarketError


class StrategyCrowd(Crowd):
    """Agents that one callable decides for.

    Parameters
    ----------
    decide : callable
        From a :class:`~market.crowd.MarketView` to :class:`~market.crowd.Orders`, or None for
        none; called once a turn. An object that is callable may also have methods
        ``matched(outcome)``, which may return cancels, and ``settled(outcome)``, which are called
        as a crowd's are.
    n_agents : int
        Accounts that it trades for; its orders name them as agents 0 to n_agents - 1.

    Raises
    ------
    MarketError
        If it is not callable, or there is no agent.
    """

    def __init__(self, decide: Callable[[MarketView], Orders | None], n_agents: int = 1) -> None:
        if not callable(decide) or n_agents < 1:
            raise MarketError(
                f"strategy {decide!r} with {n_agents} agents, expected a callable (view) -> Orders "
                "and at least 1 agent"
            )
        self.decide = decide
        self.n_agents = n_agents

    def observe(self, view: MarketView) -> None:
        """Keep the view for the decision."""
        self._view = view

    def orders(self) -> Orders:
        """Let the strategy decide.

        Raises
        ------
        MarketError
            If it returns anything but orders or None.
        """
        decided = self.decide(self._view)
        if decided is not None and not isinstance(decided, Orders):
            raise MarketError(
                f"{self._name} returned {type(decided).__name__} on day {self._view.day}, turn "
                f"{self._view.turn}; expected market.crowd.Orders or None"
            )
        return Orders.empty() if decided is None else decided

    def matched(self, outcome: TurnOutcome) -> Orders | None:
        """Tell the strategy, if it listens."""
        cancels = self._call("matched", outcome)
        if cancels is not None and not isinstance(cancels, Orders):
            raise MarketError(
                f"{self._name}.matched returned {type(cancels).__name__}, expected "
                "market.crowd.Orders of kind CANCEL or None"
            )
        return cancels

    def settled(self, outcome: DayOutcome) -> None:
        """Tell the strategy, if it listens."""
        self._call("settled", outcome)

    @property
    def _name(self) -> str:
        return getattr(self.decide, "__name__", type(self.decide).__name__)

    def _call(self, method: str, outcome: TurnOutcome | DayOutcome) -> Any:
        listener = getattr(self.decide, method, None)
        return None if listener is None else listener(outcome)

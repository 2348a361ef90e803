"""What each decision in a market earned its agent: profit of its trade, less a price of risk."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.errors import AgentError
from evobourse.market.rules import MarketRules
from evobourse.market.tape.daily_tape import Tape

BASIS_POINTS = 10_000


@dataclass(frozen=True)
class RewardRules:
    """What counts as a good decision.

    Attributes
    ----------
    discount
        Weight of a day's profit beside that of the day before, in (0, 1]. With 1 an agent's
        rewards add up to what its account has gained by trading.
    risk_aversion
        Price of risk, at least 0: half of it times the squared daily profit, both as parts of
        the agent's starting wealth, is taken off each day's profit.
    """

    discount: float = 0.9
    risk_aversion: float = 0.0

    def __post_init__(self) -> None:
        if not (0 < self.discount <= 1 and self.risk_aversion >= 0):
            raise AgentError(
                f"rewards: discount is {self.discount} and risk_aversion {self.risk_aversion}, "
                "expected in (0, 1] and at least 0"
            )


@dataclass(frozen=True, eq=False)
class Ledger:
    """What trading did to every account of a market, day by day.

    Attributes
    ----------
    shares : int64[T, n]
        Bought (sold, if negative) on a day.
    fees : float64[T, n]
        Paid on it, in cents.
    prices : float64[T]
        Closes in cents. There is one price a day: what was traded, was traded at it.
    wealth : float64[n]
        Before the first day, in cents.
    """

    shares: NDArray[np.int64]
    fees: NDArray[np.float64]
    prices: NDArray[np.float64]
    wealth: NDArray[np.float64]

    @property
    def moves(self) -> NDArray[np.float64]:
        """How far the price went on the day after, in cents: float64[T], 0 after the last."""
        return np.append(np.diff(self.prices), 0.0)

    @property
    def profits(self) -> NDArray[np.float64]:
        """Each day's gain over an account that never trades, as parts of the wealth: [T, n].

        In cents, it sums over all agents to minus the fees: what one gains, others lose.
        """
        held = np.cumsum(self.shares, axis=0)
        gained = np.roll(held * self.moves[:, None], 1, axis=0)  # the last row is 0
        return (gained - self.fees) / self.wealth


def read_ledger(tape: Tape, rules: MarketRules) -> Ledger:
    """Read a market's accounts from its tape, which must hold orders.

    Raises
    ------
    AgentError
        The tape holds prices alone.
    """
    if tape.orders is None:
        raise AgentError("rewards: the tape holds prices alone; record the market in full")
    orders, days, agents = tape.orders, len(tape), len(tape.accounts)
    prices = tape.close_ticks.astype(np.float64) * rules.tick_cents
    filled = orders["filled"].to_numpy()
    day, agent = orders["day"].to_numpy(), orders["agent"].to_numpy()
    shares, fees = np.zeros((days, agents), np.int64), np.zeros((days, agents))
    np.add.at(shares, (day, agent), orders["side"].to_numpy() * filled)
    value = filled * tape.close_ticks[day] * rules.tick_cents
    np.add.at(fees, (day, agent), -(-value * rules.fee_bps // BASIS_POINTS))  # rounded up
    before = tape.accounts.shares - shares.sum(axis=0)
    cash = tape.accounts.cash_cents + prices @ shares + fees.sum(axis=0)
    wealth = cash + before * tape.initial_close_ticks * rules.tick_cents
    return Ledger(shares, fees, prices, wealth)


def reward_decisions(ledger: Ledger, rules: RewardRules) -> NDArray[np.float64]:
    """Reward each decision with what its trade changed.

    The utility of a day is its profit ``x`` less ``risk_aversion / 2 * x ** 2``; a decision's
    reward is the discounted utility of the days after it, less what that would have been without
    its trade and with all later ones (a difference reward: Wolpert and Tumer 2002, J. Artif.
    Intell. Res. 16). An agent's earlier luck is so no part of it.

    Returns
    -------
    NDArray
        float64[T, n], in parts of the agent's starting wealth; 0 where nothing was traded.
    """
    moves, keep = ledger.moves, rules.discount
    traded = ledger.shares / ledger.wealth
    held = np.cumsum(traded, axis=0)
    rewards = np.empty_like(traded)
    gain = square = 0.0
    exposure = np.zeros(traded.shape[1])
    for day in range(len(moves) - 1, -1, -1):
        gain = moves[day] + keep * gain
        square = moves[day] ** 2 + keep * square
        exposure = moves[day] ** 2 * held[day] + keep * exposure
        risk = traded[day] * (exposure - traded[day] * square / 2)
        rewards[day] = traded[day] * gain - rules.risk_aversion * risk
    return np.asarray(rewards - ledger.fees / ledger.wealth)

"""The behaviour of each group of investors in one simulated market, and of the whole crowd.

No row is a target.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from evobourse.fitness.behaviour.herding import conformity, effective_minds, lsv_herding
from evobourse.fitness.behaviour.portfolios import hold_value, rebuild_portfolios
from evobourse.fitness.behaviour.trading import (
    annual_turnover,
    count_gains,
    disposition_effect,
    group_returns,
    sortino_ratio,
)
from evobourse.fitness.errors import FitnessError
from evobourse.fitness.fact_table import max_drawdown
from evobourse.fitness.facts import volume_volatility
from evobourse.fitness.moments import FloatArray
from evobourse.market.rules import MarketRules
from evobourse.market.tape.daily_tape import Tape

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class GroupBehaviour:
    """One group's measures; NaN where there was nothing to measure.

    Parameters
    ----------
    name : str
        Of the group.
    investors : float
        Mean number of members.
    disposition, disposition_error : float
        ``PGR - PLR`` over all agent-days with shares, and its standard error.
    turnover : float
        Of the shares, a year.
    profit : float
        Compounded return of the money in the group's hands over the whole tape, 0.1 is 10 %.
    excess : float
        `profit` less that of everyone's money together.
    max_drawdown : float
        Of the compounded returns, 0 to 1; NaN on tapes of 30 days or fewer.
    sortino : float
        Annual, target 0.
    conformity : float
        Mean over members of Cohen's kappa with yesterday's majority of the others.
    """

    name: str
    investors: float
    disposition: float
    disposition_error: float
    turnover: float
    profit: float
    excess: float
    max_drawdown: float
    sortino: float
    conformity: float


@dataclass(frozen=True)
class CrowdBehaviour:
    """The crowd's measures.

    Parameters
    ----------
    groups : tuple of GroupBehaviour
        In the order of their numbers, then ``everyone``.
    herding_intended, herding_filled : float
        LSV measure of the days, of tendencies to buy or sell and of filled orders, the
        expectation being the mean over all days.
    minds_by_day : float
        Effective number of minds among the groups' mean tendencies day by day.
    investors_by_day : float
        The same among single investors: their dice count as independence.
    volume_volatility : float
        Rank correlation of volume and absolute return (fact 10 of Cont 2001).
    """

    groups: tuple[GroupBehaviour, ...]
    herding_intended: float
    herding_filled: float
    minds_by_day: float
    investors_by_day: float
    volume_volatility: float


def describe_behaviour(tape: Tape, rules: MarketRules, names: Sequence[str]) -> CrowdBehaviour:
    """Measure the behaviour in one market.

    Parameters
    ----------
    tape : market.tape.Tape
        Recorded in full, 2 days or more. Its decisions have the columns ``day``, ``agent``,
        ``persona`` (number of the group that day) and ``tendency`` (its sign is the side), one
        row for each agent and day.
    rules : market.rules.MarketRules
        Of the market.
    names : sequence of str
        The groups' names.

    Returns
    -------
    CrowdBehaviour

    Raises
    ------
    FitnessError
        If the tape is not recorded in full, or a decision is missing.
    """
    portfolios = rebuild_portfolios(tape, rules)
    group, tendency = (_by_day(tape, column) for column in ("persona", "tendency"))
    prices = portfolios.price_cents[1:, None].astype(np.float64)
    gains = count_gains(
        portfolios.shares[:, :, None], prices, portfolios.price_cents[:1], every_day=True
    )
    money = (portfolios.traded_shares * prices, hold_value(portfolios))
    wealth = portfolios.wealth_cents[1:-1]
    returns = group_returns(portfolios.gain_cents, wealth, group[:-1], len(names))
    everyone = group_returns(portfolios.gain_cents, wealth, np.zeros_like(wealth), 1)
    whole = float(np.prod(1 + everyone[:, 0]) - 1)

    def row(name: str, members: npt.NDArray[np.bool_], daily: FloatArray) -> GroupBehaviour:
        sold = disposition_effect(gains[members].sum(axis=0))
        profit = float(np.prod(1 + daily) - 1)
        return GroupBehaviour(
            name=name,
            investors=float(members.sum(axis=1).mean()),
            disposition=float(sold.effect),
            disposition_error=float(sold.standard_error),
            turnover=float(annual_turnover(*(np.where(members, x, 0).ravel() for x in money))),
            profit=profit,
            excess=profit - whole,
            max_drawdown=float(max_drawdown(np.log1p(np.maximum(daily, -1 + 1e-12)))),
            sortino=float(sortino_ratio(daily)),
            conformity=_mean(conformity(tendency, 1, members)),
        )

    rows = [row(name, group == g, returns[:, g]) for g, name in enumerate(names)]
    rows.append(row("everyone", np.ones_like(group, np.bool_), everyone[:, 0]))
    filled = _sides_filled(tape)
    return CrowdBehaviour(
        groups=tuple(rows),
        herding_intended=lsv_herding(*_sides(tendency), "periods").mean,
        herding_filled=lsv_herding(*filled, "periods").mean,
        minds_by_day=effective_minds(_group_means(tendency, group, len(names))),
        investors_by_day=effective_minds(tendency.T),
        volume_volatility=float(volume_volatility(tape.log_returns(), tape.volume)),
    )


def _by_day(tape: Tape, column: str) -> IntArray:
    """Return a decisions column as [T, N]."""
    table, shape = tape.decisions, (len(tape), len(tape.accounts))
    if table is None or column not in table:
        raise FitnessError(f"the tape has no decisions with {column!r}: record it in full")
    if len(table) != shape[0] * shape[1]:
        raise FitnessError(
            f"{len(table)} decisions, expected {shape[0] * shape[1]}, one for each of {shape[1]} "
            f"agents on each of {shape[0]} days"
        )
    values = np.zeros(shape, np.int64)
    values[table["day"].to_numpy(), table["agent"].to_numpy()] = table[column].to_numpy()
    return values


def _sides(tendency: IntArray) -> tuple[IntArray, IntArray]:
    """Count buyers and sellers of each day, [1, T] each."""
    return (tendency > 0).sum(axis=1)[None], (tendency < 0).sum(axis=1)[None]


def _sides_filled(tape: Tape) -> tuple[IntArray, IntArray]:
    orders: pd.DataFrame = tape.orders if tape.orders is not None else pd.DataFrame()
    filled = orders[orders["filled"] > 0]
    buyers, sellers = (
        np.bincount(filled.loc[filled["side"] == side, "day"], minlength=len(tape))[None]
        for side in (1, -1)
    )
    return buyers, sellers


def _group_means(tendency: IntArray, group: IntArray, groups: int) -> FloatArray:
    """Mean tendency of each group and day, less the group's mean over days, [groups, T]."""
    members = group[..., None] == np.arange(groups)
    total = np.einsum("tn,tng->gt", tendency, members)
    mean = total / np.maximum(members.sum(axis=1).T, 1)
    return np.asarray(mean - mean.mean(axis=1, keepdims=True))


def _mean(values: FloatArray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")

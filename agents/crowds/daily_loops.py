"""The compiled inner loops of a crowd's day: see, reconsider, decide, price, learn.

Nothing is drawn here: all random numbers are handed in.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True)
def hear(news: float, misread: NDArray[np.float64], threshold: float) -> NDArray[np.int64]:
    """Turn a day's news and the agents' misreadings of it, float64[n], into levels int64[n].

    News counts as bad (0) or good (2) where what an agent hears, both together, is at least the
    threshold away from nothing; else it is quiet (1).
    """
    levels = np.empty(misread.size, np.int64)
    for i in range(misread.size):
        heard = news + misread[i]
        levels[i] = 1 + (heard >= threshold) - (heard <= -threshold)
    return levels


@njit(cache=True)
def encode_seen(
    codes: NDArray[np.int64],
    private_field: int,
    private_codes: NDArray[np.int64],
    sees: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Encode what each agent sees of one market, `agents.observation.encode_view` in one loop.

    Parameters
    ----------
    codes
        int64[F], see `agents.observation.public_codes`.
    private_field, private_codes
        The field that each agent reads for itself, and its codes, int64[n].
    sees
        int64[n, A], the fields that an agent sees today, -1 for none.
    """
    views = np.zeros(len(sees), np.int64)
    for i in range(len(sees)):
        for a in range(sees.shape[1]):
            field = sees[i, a]
            if field >= 0:
                views[i] += private_codes[i] if field == private_field else codes[field]
    return views


@njit(cache=True)
def reconsider(
    persona: NDArray[np.int64],
    share: NDArray[np.float64],
    success: NDArray[np.float64],
    uniform: NDArray[np.float64],
    switching: float,
    conformity: float,
    performance: float,
) -> None:
    """Let some agents choose their persona anew, in place; see `crowds.persona_crowd.PersonaCrowd`.

    Parameters
    ----------
    persona
        int64[n], changed.
    share, success
        float64[P].
    uniform
        float64[2, n]: who moves, and where to.
    """
    present = np.zeros(share.size)
    for p in persona:
        present[p] += 1.0 / persona.size
    pull = conformity * share.size * (present - share) + performance * success
    odds = share * np.exp(np.minimum(np.maximum(pull, -20.0), 20.0))
    edges = np.cumsum(odds / odds.sum())[:-1]
    for i in range(persona.size):
        if uniform[0, i] < switching:
            persona[i] = np.searchsorted(edges, uniform[1, i], side="right")


@njit(cache=True)
def decide(
    cumulative: NDArray[np.float64],
    persona: NDArray[np.int64],
    row: NDArray[np.int64],
    uniform: NDArray[np.float64],
) -> NDArray[np.int64]:
    """Draw tendencies by inversion.

    Parameters
    ----------
    cumulative
        float64[P, V, 5], see `agents.minds.choices.tabulate_choices`.
    persona, row
        int64[n]: who decides, in view of what.
    uniform
        float64[n].

    Returns
    -------
    NDArray
        int64[n] in -2..2.
    """
    tendency = np.empty(persona.size, np.int64)
    for i in range(persona.size):
        steps = cumulative[persona[i], row[i]]
        choice = 0
        while choice < 4 and uniform[i] >= steps[choice]:
            choice += 1
        tendency[i] = choice - 2
    return tendency


@njit(cache=True)
def price_orders(
    lean: NDArray[np.float64],
    tendency: NDArray[np.int64],
    size: NDArray[np.float64],
    uniform: NDArray[np.float64],
    activity: float,
    unit: float,
    reference_ticks: int,
) -> tuple[NDArray[np.int64], NDArray[np.int8], NDArray[np.int64], NDArray[np.int64]]:
    """Turn reservation prices into limit orders of those who are active today.

    Parameters
    ----------
    lean
        float64[n], distance of the reservation price from the reference, in ``unit``.
    tendency
        int64[n]; a strong one asks for three times the quantity, a plain one for twice.
    size
        float64[n], shares that an agent without a tendency trades.
    uniform, activity
        float64[n]; who is below the probability sends an order.
    unit
        Log price per unit of lean.
    reference_ticks
        Yesterday's close.

    Returns
    -------
    agent, side, price_ticks, quantity
        Arrays of one length; prices and quantities at least 1.
    """
    agent = np.empty(lean.size, np.int64)
    count = 0
    for i in range(lean.size):
        if lean[i] != 0.0 and uniform[i] < activity:
            agent[count] = i
            count += 1
    agent = agent[:count]
    side, price, quantity = np.empty(count, np.int8), agent.copy(), agent.copy()
    for k in range(count):
        i = agent[k]
        side[k] = 1 if lean[i] > 0 else -1
        price[k] = max(1, int(np.rint(reference_ticks * np.exp(unit * lean[i]))))
        quantity[k] = max(1, int(np.rint(size[i] * (1 + abs(tendency[i])))))
    return agent, side, price, quantity


@njit(cache=True)
def mean_by_persona(
    persona: NDArray[np.int64], tendency: NDArray[np.int64], personas: int
) -> NDArray[np.float64]:
    """Average tendencies int64[n] over each persona's agents: float64[personas], 0 for none."""
    total, count = np.zeros(personas), np.zeros(personas)
    for i in range(persona.size):
        total[persona[i]] += tendency[i]
        count[persona[i]] += 1
    return total / np.maximum(count, 1.0)

"""The ablation among agents who deliberate: the order's numbers are written on the page."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.crowds.own_numbers import MOST_TOKENS, NamedOrder, NamingCrowd, parse_reply
from evobourse.agents.deliberation.crowd import DeliberateCrowd
from evobourse.agents.deliberation.wording import ORDER, render_naming


class NamingDeliberateCrowd(NamingCrowd, DeliberateCrowd):
    """Agents who think in words before each turn, and then name price and quantity themselves.

    The numbers are written behind all that was thought and chosen in the turn, parsed as
    `agents.crowds.own_numbers` does, and kept as a text of the kind ``order``.
    """

    def _name(self, agents: NDArray[np.int64]) -> list[NamedOrder]:
        """Let agents, who want to trade, go on with their pages."""
        chosen = self._decision.tendency
        asks = []
        for agent in agents.tolist():
            ask = self._thought.asks[agent]
            asks.append(replace(ask, page=(*ask.page, render_naming(int(chosen[agent])))))
        rngs = [self._rngs[agent] for agent in agents]
        texts = self._thinker.write(asks, ORDER, MOST_TOKENS, rngs)
        self._collect()
        return [parse_reply(text) for text in texts]

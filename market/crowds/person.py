"""A person who trades: a turn's view in a few lines, orders as typed words.

Lines come and go through two callables: a terminal, a window, a queue.
"""

import re
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from evobourse.market.book.order_events import Kind, Reason, TimeInForce
from evobourse.market.crowd import Crowd, DayOutcome, MarketView, Orders, TurnOutcome
from evobourse.market.errors import MarketError

GRAMMAR = """\
buy LOTS @ TICKS     buy or sell LOTS at TICKS or better, for the day
sell LOTS market     at any price, at once
cancel NUMBER        take back a resting order
replace NUMBER LOTS @ TICKS
...                  after an order: gtc (until cancelled), ioc (at once or not), fok (all or
                     nothing), post (only if it rests); of ASSET
done                 no more orders this turn; so does an empty line"""

WORDS = {
    "gtc": ("time_in_force", TimeInForce.GOOD_TILL_CANCELLED),
    "ioc": ("time_in_force", TimeInForce.IMMEDIATE_OR_CANCEL),
    "fok": ("time_in_force", TimeInForce.FILL_OR_KILL),
    "post": ("post_only", True),
}
_NUMBER = "([0-9]{1,12})"
_FORMS = {
    name: re.compile(pattern)
    for name, pattern in {
        "limit": rf"(buy|sell) {_NUMBER} ?@ ?{_NUMBER}(( gtc| ioc| fok| post)*)",
        "market": rf"(buy|sell) {_NUMBER} market",
        "cancel": rf"cancel {_NUMBER}",
        "replace": rf"replace {_NUMBER} {_NUMBER} ?@ ?{_NUMBER}(( gtc| ioc| fok| post)*)",
    }.items()
}


def parse_order(line: str, assets: Sequence[str]) -> dict[str, Any]:
    """Return the columns of one order of agent 0, as typed by a person.

    Parameters
    ----------
    line : str
        One order in the words of `GRAMMAR`, in any case, with any number of blanks.
    assets : sequence of str
        Names of the assets, by row; the first is meant if none is named.

    Returns
    -------
    dict
        One value for each column of :class:`~market.crowd.Orders`; the side of a replacement is
        0, since the line does not say it.

    Raises
    ------
    MarketError
        If the line is anything else.
    """
    text, of, name = " ".join(line.split()).partition(" of ")
    names = [asset.lower() for asset in assets]
    if of and name.lower() not in names:
        raise MarketError(f"no asset {name!r} in {line.strip()!r}, expected one of {list(assets)}")
    columns = {
        "agent": 0,
        "side": 1,
        "price_ticks": 0,
        "quantity": 0,
        "asset": names.index(name.lower()) if of else 0,
        "kind": Kind.LIMIT,
        "target": 0,
        "time_in_force": TimeInForce.DAY,
        "post_only": False,
        "expires": 0,
    }
    for form, pattern in _FORMS.items():
        found = pattern.fullmatch(text.lower())
        if found is None:
            continue
        words = found.groups()
        if form in ("limit", "market"):
            columns["side"] = 1 if words[0] == "buy" else -1
            columns["quantity"] = int(words[1])
        if form == "limit":
            columns["price_ticks"] = int(words[2])
        elif form == "market":
            columns["kind"] = Kind.MARKET
        else:
            columns["kind"], columns["target"] = Kind[form.upper()], int(words[0])
        if form == "replace":
            columns["side"] = 0
            columns["quantity"], columns["price_ticks"] = int(words[1]), int(words[2])
        said = words[3].split() if form in ("limit", "replace") else []
        if len(said) != len({WORDS[word][0] for word in said}):
            raise MarketError(f"{line.strip()!r} says when it holds, or post, more than once")
        return columns | dict(WORDS[word] for word in said)
    raise MarketError(f"cannot read {line.strip()!r}; expected one of:\n{GRAMMAR}")


class PersonCrowd(Crowd):
    """One agent whose orders a person types.

    Parameters
    ----------
    ask : callable
        Called with a prompt, returns the person's next line and may block until there is one
        (``input``, or a queue's ``get`` behind a lambda); EOFError stands for "done" from then on.
    tell : callable
        Called with lines for the person to read (``print``).
    assets : sequence of str
        Names of the market's assets, by row.
    """

    n_agents = 1

    def __init__(
        self, ask: Callable[[str], str], tell: Callable[[str], None], assets: Sequence[str]
    ) -> None:
        self.assets = list(assets)
        self._ask = ask
        self._tell = tell
        self._left = False

    def observe(self, view: MarketView) -> None:
        """Show the market, the account and the resting orders."""
        self._view = view
        if not self._left:
            for line in describe(view, self.assets):
                self._tell(line)

    def orders(self) -> Orders:
        """Ask for orders, line by line, until the person is done; say what cannot be read."""
        rows = []
        while not self._left:
            try:
                line = self._ask(f"day {self._view.day}, turn {self._view.turn}> ").strip()
            except EOFError:
                self._left = True
                break
            if line.lower() in ("", "done"):
                break
            try:
                rows.append(self._complete(parse_order(line, self.assets)))
            except MarketError as error:
                self._tell(str(error))
        if not rows:
            return Orders.empty()
        return Orders(**{name: np.array([row[name] for row in rows]) for name in rows[0]})

    def matched(self, outcome: TurnOutcome) -> None:
        """Say what became of each order."""
        orders = outcome.orders
        for row, kind in enumerate(orders.column("kind").tolist()):
            reason = Reason(int(outcome.reason[row]))
            if kind == Kind.CANCEL:
                fate = "taken" if reason == Reason.NONE else reason.name
            else:
                fate = f"{outcome.filled[row]} of {orders.quantity[row]} lots"
                fate += f", {reason.name}" if reason != Reason.NONE else ""
            self._tell(f"{Kind(kind).name.lower()} {outcome.number[row]}: {fate}")

    def settled(self, outcome: DayOutcome) -> None:
        """Say how the day ended."""
        for row, name in enumerate(self.assets):
            self._tell(
                f"day {outcome.day} over: {name} closed at {outcome.close_ticks[row]}, settled "
                f"at {outcome.settle_ticks[row]}, {outcome.volume[row]} lots"
            )
        if len(outcome.margin_called):
            self._tell("margin call: your positions are going to be reduced")

    def _complete(self, columns: dict[str, Any]) -> dict[str, Any]:
        """Look up the side of the order that is meant by a cancel or a replacement."""
        if columns["kind"] not in (Kind.REPLACE, Kind.CANCEL):
            return columns
        resting = self._view.assets[columns["asset"]].resting
        own = np.empty(0, np.int64) if resting is None else resting.number
        at = np.flatnonzero(own == columns["target"])
        if resting is None or not len(at):
            raise MarketError(
                f"no order {columns['target']} of yours rests in {self.assets[columns['asset']]}, "
                f"expected one of {own.tolist()}"
            )
        return columns | {"side": int(resting.side[at[0]])}


class RecordedPerson(PersonCrowd):
    """One agent whose orders come before their turn: by `market.events.kinds.Order`.

    Parameters
    ----------
    assets : sequence of str
        Names of the market's assets, by row.

    Attributes
    ----------
    told : list of str
        What the person was told since the last turn began.
    """

    def __init__(self, assets: Sequence[str]) -> None:
        super().__init__(self._next, self._hear, assets)
        self.told: list[str] = []
        self._lines: deque[str] = deque()

    def observe(self, view: MarketView) -> None:
        """Begin a turn."""
        self.told = []
        super().observe(view)

    def type(self, line: str) -> None:
        """Take an order for the next turn, in the words of `GRAMMAR`.

        Raises
        ------
        MarketError
            If it cannot be read.
        """
        parse_order(line, self.assets)
        self._lines.append(line)

    def _next(self, prompt: str) -> str:
        return self._lines.popleft() if self._lines else ""

    def _hear(self, line: str) -> None:
        self.told.append(line)


def describe(view: MarketView, assets: Sequence[str]) -> list[str]:
    """Return what a person should know before a turn, line by line."""
    lines = [f"day {view.day}, turn {view.turn} ({view.clearing}): cash {view.cash_cents[0]} cents"]
    for row, (name, asset) in enumerate(zip(assets, view.assets, strict=True)):
        depth = asset.depth
        bid, ask = "-", "-"
        if depth is not None and len(depth.bid_ticks):
            bid = f"{depth.bid_quantity[0]} @ {depth.bid_ticks[0]}"
        if depth is not None and len(depth.ask_ticks):
            ask = f"{depth.ask_quantity[0]} @ {depth.ask_ticks[0]}"
        lines.append(
            f"{name}: last {asset.last_ticks}, bid {bid}, ask {ask}, limits "
            f"{asset.lower_limit_ticks} to {asset.upper_limit_ticks}, you hold "
            f"{view.position[0, row]}{', halted' if asset.halted else ''}"
        )
        if asset.resting is not None:
            own = asset.resting
            lines += [
                f"  {number}: {'buy' if side > 0 else 'sell'} {lots} @ {price}"
                for number, side, lots, price in zip(
                    own.number, own.side, own.remaining, own.price_ticks, strict=True
                )
            ]
    return lines + [f"{message.kind}: {message.text}" for message in view.messages]

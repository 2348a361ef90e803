"""The tables of a recorded tape: names, columns, types, units.

One Arrow schema a table, with unit and description in each field's metadata; ``python -m
evobourse.market.tape.schema`` prints them for docs/tape.md.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evobourse.market.book.order_events import EVENT_DTYPES
from evobourse.market.errors import MarketError

SCHEMA_VERSION = 1

_DAY = ("day", "int64", "days", "trading day")
_TURN = ("turn", "int16", "", "turn of the day, from 0")
_ASSET = ("asset", "int16", "", "asset, a row of the manifest's `instruments`")
_AGENT = ("agent", "int64", "", "agent, a row of the market's accounts")
_SIDE = ("side", "int8", "", "+1 buy, -1 sell")
_PRICE = ("price_ticks", "int64", "ticks", "price")
_LOTS = ("quantity", "int64", "lots", "size")

_EVENT_TEXTS = {
    "kind": ("", "what it asks of the book, `order_events.Kind`"),
    "time": ("", "time stamp, never falling within an asset's book"),
    "agent": ("", "who sent it"),
    "side": ("", "+1 buy, -1 sell; no meaning for CANCEL and the kinds that follow"),
    "price_ticks": ("ticks", "limit price; no meaning for MARKET"),
    "quantity": ("lots", "size as sent"),
    "target": ("", "`number` of the order to cancel or replace"),
    "time_in_force": ("", "how long it stays, `order_events.TimeInForce`"),
    "post_only": ("", "whether it was to be rejected rather than take"),
    "expires": ("", "time from which a GOOD_TILL_TIME order is gone"),
}

_TABLES: dict[str, tuple[str, list[tuple[str, str, str, str]]]] = {
    "prices": (
        "One row a day and asset.",
        [
            _DAY,
            _ASSET,
            ("open_ticks", "int64", "ticks", "first trade"),
            ("high_ticks", "int64", "ticks", "highest trade"),
            ("low_ticks", "int64", "ticks", "lowest trade"),
            ("close_ticks", "int64", "ticks", "last trade, the close before if there was none"),
            ("settle_ticks", "int64", "ticks", "price at which the accounts are valued"),
            ("reference_ticks", "int64", "ticks", "centre of the day's price limit"),
            ("lower_limit_ticks", "int64", "ticks", "lowest price allowed"),
            ("upper_limit_ticks", "int64", "ticks", "highest price allowed"),
            ("volume", "int64", "lots", "lots traded"),
            ("trades", "int64", "", "number of trades"),
            ("open_interest", "int64", "lots", "lots held long after settlement"),
            ("halted", "bool", "", "whether no order was let in"),
        ],
    ),
    "orders": (
        "One row an event sent to an asset's book, in the book's order: the log that replays it.",
        [
            _DAY,
            _TURN,
            _ASSET,
            ("number", "int64", "", "number in the asset's book; -1 if turned away before it"),
            *((name, EVENT_DTYPES[name], *texts) for name, texts in _EVENT_TEXTS.items()),
            ("filled", "int64", "lots", "lots traded by the end of the turn"),
            ("status", "int8", "", "where it stands, `order_events.Status`"),
            ("reason", "int8", "", "why rejected or cancelled, `order_events.Reason`"),
        ],
    ),
    "fills": (
        "One row a trade, in the order in which they happened.",
        [
            _DAY,
            _TURN,
            _ASSET,
            ("event", "int64", "", "`number` of the event that caused the trade"),
            ("buy", "int64", "", "`number` of the buy order"),
            ("sell", "int64", "", "`number` of the sell order"),
            ("buyer", "int64", "", "agent who bought"),
            ("seller", "int64", "", "agent who sold"),
            _PRICE,
            _LOTS,
            ("aggressor", "int8", "", "side of the incoming order, 0 in a call"),
            ("cancelled", "bool", "", "whether the trade was annulled at settlement"),
        ],
    ),
    "decisions": (
        "One row a decision; the crowd's own columns follow, fixed by the first batch.",
        [_DAY, _TURN],
    ),
    "messages": (
        "One row a message and recipient.",
        [
            _DAY,
            _TURN,
            ("kind", "string", "", "such as news, rumour, notice"),
            ("text", "string", "", "what was said"),
            ("agent", "int64", "", "who heard it, -1 for all"),
            ("source", "string", "", "where it came from"),
        ],
    ),
    "links": (
        "One row a pair of linked agents, in the morning: the interaction graph.",
        [
            _DAY,
            _AGENT,
            ("other", "int64", "", "the other agent, a higher row"),
            ("similarity", "float64", "", "of their trading profiles, 0 to 1"),
        ],
    ),
    "readings": (
        "One row a post and reader, in the morning.",
        [
            _DAY,
            ("agent", "int64", "", "who read it"),
            ("other", "int64", "", "who wrote it"),
            ("tone", "float64", "", "its mood, -1 (selling) to 1 (buying)"),
            ("liked", "bool", "", "whether the reader liked it"),
        ],
    ),
    "tellings": (
        "One row a rumour that one agent had from another, in the morning.",
        [
            _DAY,
            ("agent", "int64", "", "who heard it"),
            ("other", "int64", "", "from whom"),
            ("text", "string", "", "what was said, as in messages"),
        ],
    ),
    "texts": (
        "One row a text that an agent's mind read or wrote, in order.",
        [
            _DAY,
            ("turn", "int16", "", "turn of the day, from 0; the last one for those of the close"),
            _AGENT,
            (
                "kind",
                "string",
                "",
                "page (what was read), reason, advice (the expert's), revision, reflection, post",
            ),
            ("text", "string", "", "the text"),
            ("prompt_tokens", "int64", "tokens", "of the whole prompt before it, 0 for a page"),
            ("generated_tokens", "int64", "tokens", "of what was generated, 0 for a page"),
        ],
    ),
    "accounts": (
        "One row an agent, after settlement; perhaps not of every day.",
        [
            _DAY,
            _AGENT,
            ("cash_cents", "int64", "cents", "cash"),
            ("equity_cents", "int64", "cents", "cash and positions at the settlement prices"),
            ("requirement_cents", "int64", "cents", "margin that the positions require"),
        ],
    ),
    "holdings": (
        "One row an agent and asset with a position, after settlement; as often as accounts.",
        [_DAY, _AGENT, _ASSET, ("position", "int64", "lots", "lots held, negative if short")],
    ),
    "depth": (
        "One row a price level of a book, before a turn; perhaps not of every day.",
        [
            _DAY,
            _TURN,
            _ASSET,
            _SIDE,
            ("level", "int16", "", "place from the best price, 0 the best"),
            _PRICE,
            ("quantity", "int64", "lots", "lots resting at the price"),
        ],
    ),
    "pools": (
        "One row a day: cash outside the accounts after settlement, counted from day 0.",
        [
            _DAY,
            ("fees_cents", "int64", "cents", "fees paid"),
            ("taxes_cents", "int64", "cents", "taxes paid"),
            ("bankruptcy_cents", "int64", "cents", "losses that no account could bear, 0 or less"),
            ("granted_cents", "int64", "cents", "minus the cash given to agents from outside"),
        ],
    ),
    "events": (
        "One row an event of the scenario: halts, changes of rules, shocks, overrides.",
        [
            _DAY,
            ("kind", "string", "", "kind of event"),
            ("asset", "int16", "", "asset, -1 for all"),
            ("detail", "string", "", "everything else about it, a JSON object"),
        ],
    ),
}


def _field(name: str, type_name: str, unit: str, description: str) -> pa.Field:
    metadata = {"unit": unit, "description": description}
    return pa.field(name, pa.type_for_alias(type_name), nullable=False, metadata=metadata)


SCHEMAS: dict[str, pa.Schema] = {
    table: pa.schema([_field(*column) for column in columns], {"description": description})
    for table, (description, columns) in _TABLES.items()
}


def decisions_schema(columns: Mapping[str, NDArray[Any]]) -> pa.Schema:
    """Return the schema of the decisions table from a first batch.

    Parameters
    ----------
    columns : Mapping[str, NDArray]
        ``day``, ``turn`` and the crowd's own columns: numbers of up to 8 bytes, booleans, text.

    Raises
    ------
    MarketError
        If a column is of another type.
    """
    schema = SCHEMAS["decisions"]
    for name, values in columns.items():
        if name not in schema.names:
            schema = schema.append(pa.field(name, _arrow_type(name, values), nullable=False))
    return schema


def _arrow_type(name: str, values: NDArray[Any]) -> pa.DataType:
    dtype = np.asarray(values).dtype
    if dtype.kind in "OUT":
        return pa.string()
    if dtype.kind in "biuf" and dtype.itemsize <= 8:
        return pa.from_numpy_dtype(dtype)
    raise MarketError(
        f"decisions.{name} is {dtype}, expected booleans, text or numbers of up to 8 bytes"
    )


def describe_tables() -> str:
    """Return the schemas as Markdown, one section a table."""
    sections = []
    for table, schema in SCHEMAS.items():
        rows = [
            f"| `{field.name}` | {field.type} | {_text(field, 'unit')} | "
            f"{_text(field, 'description')} |"
            for field in schema
        ]
        head = [f"### {table}", "", _text(schema, "description"), ""]
        columns = ["| Column | Type | Unit | Meaning |", "|---|---|---|---|"]
        sections.append("\n".join([*head, *columns, *rows]))
    return "\n\n".join(sections) + "\n"


def _text(described: pa.Field | pa.Schema, key: str) -> str:
    return str(described.metadata[key.encode()].decode())


if __name__ == "__main__":
    print(describe_tables(), end="")

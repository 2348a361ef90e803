"""From a sentence to a market: terms of what is traded, turns of a day, and who trades.

Who trades is read by `agents.casts.sentence`, from what is left of a phrase.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from evobourse.agents.casts.sentence import (
    Described,
    read_number,
    read_phrases,
    split_phrases,
)
from evobourse.agents.casts.words import FILLERS, NUMBERS
from evobourse.agents.errors import AgentError
from evobourse.market.series.named import SERIES_NAMES

CLASSES = (
    "producers",
    "merchants",
    "institutions",
    "consumers",
    "aggressive investors",
    "conservative investors",
)
"""The six classes of a commodity's traders (arXiv 2503.20787), in words of the tables."""

COMMODITIES = {
    **dict.fromkeys(("nickel", "copper", "zinc", "aluminium", "gold", "silver", "wheat", "corn")),
    **dict.fromkeys(("oil", "crude"), "wti"),
}
"""Futures by name, with the series that ships of each; None for none."""

KEPT_MARGIN = 0.75
"""Maintenance margin over initial margin where nobody says."""

_N = rf"(?P<n>\d+(?:\.\d+)?|{'|'.join(NUMBERS)})"
_RATIO = rf"{_N} ?(?P<unit>%|percent|per cent|bps?|basis points?)"
_RATES = {
    "maintenance_margin_bps": "maintenance margins?",
    "initial_margin_bps": "(?:initial )?margins?",
    "price_limit": "(?:daily )?(?:price )?limits?",
    "fee_bps": "fees?|commissions?|costs?",
    "sell_tax_bps": "(?:sales? |transaction )?tax|stamp duty",
}
_DAY = "(?: (?:a|per|each|every) day)?"


@dataclass
class DescribedMarket:
    """A market as a sentence describes it.

    Attributes
    ----------
    turns
        Of a day, as a scenario has them; empty where nobody says.
    terms
        Of what is traded, keys and values of `experiments.config.scenario.Terms`.
    asset, series
        Its name and the real prices before its first day; None where nobody says.
    members
        Who trades.
    reasons
        What was read from which words, and what was guessed.
    """

    turns: tuple[str, ...] = ()
    terms: dict[str, Any] = field(default_factory=dict)
    asset: str | None = None
    series: str | None = None
    members: list[Described] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    def say(self, said: str, **terms: Any) -> None:
        """Take terms over, and say from which words."""
        self.terms |= terms
        read = ", ".join(f"{key} {value}" for key, value in terms.items())
        self.reasons.append(f"{said.strip()}: {read}")


def read_market(sentence: str) -> DescribedMarket:
    """Read a market from a sentence: "six classes of nickel traders, margin 10 %, 5 turns a day".

    Raises
    ------
    AgentError
        A word is not understood; all such words are named.
    """
    found = DescribedMarket()
    people = []
    for phrase in split_phrases(sentence):
        rest = " ".join(phrase.split())
        for pattern, take in _PATTERNS:
            while match := pattern.search(rest):
                take(found, match)
                rest = " ".join((rest[: match.start()] + rest[match.end() :]).split())
        if set(rest.split()) - FILLERS - {"a", "an"}:
            people += _classes(rest) or [rest]
    found.members, lost = read_phrases(people)
    for member in found.members:
        lost += [*member.left, *member.lost, *filter(None, [member.unknown])]
    if lost:
        raise AgentError(
            f"not understood: {', '.join(map(repr, lost))}; say terms as in 'margin 10 %, price "
            "limit 5 %, fee 2 bp, 5 turns a day, no short sales', and people as in 'forty cautious "
            "pensioners'"
        )
    if not (found.reasons or found.members):
        raise AgentError(f"nothing is said of a market in {sentence!r}")
    terms = found.terms
    if "initial_margin_bps" in terms and not {"kind", "short_sales"} & terms.keys():
        found.say("margin (guessed)", kind="future")
    if "initial_margin_bps" in terms and "maintenance_margin_bps" not in terms:
        kept = round(KEPT_MARGIN * terms["initial_margin_bps"])
        found.say("maintenance margin (guessed)", maintenance_margin_bps=max(1, kept))
    return found


def _number(match: re.Match[str]) -> float:
    said = match["n"]
    return float(said) if said[0].isdigit() else float(read_number([said]))


def _rate(key: str) -> Callable[[DescribedMarket, re.Match[str]], None]:
    def take(found: DescribedMarket, match: re.Match[str]) -> None:
        points = _number(match) * (1 if match["unit"].startswith("b") else 100)
        if key == "price_limit":
            found.say(match[0], **{key: points / 10_000})
        elif points != int(points):
            raise AgentError(f"{match[0].strip()!r}: expected whole basis points")
        else:
            found.say(match[0], **{key: int(points)})

    return take


def _say(**terms: Any) -> Callable[[DescribedMarket, re.Match[str]], None]:
    return lambda found, match: found.say(match[0], **terms)


def _take_turns(found: DescribedMarket, match: re.Match[str]) -> None:
    count = int(_number(match))
    if not 1 <= count <= 100 or count != _number(match):
        raise AgentError(f"{match[0].strip()!r}: expected 1 to 100 turns a day")
    if match["clearing"]:
        found.turns, how = (match["clearing"],) * count, ""
    elif count < 3:
        found.turns, how = ("call",) * count, " (guessed: calls)"
    else:
        found.turns = ("call", *["continuous"] * (count - 2), "call")
        how = " (guessed: calls at both ends)"
    found.reasons.append(f"{match[0].strip()}: {count} turns{how}")


def _take_lot(found: DescribedMarket, match: re.Match[str]) -> None:
    found.say(match[0], lot_units=int(_number(match)))


def _take_asset(found: DescribedMarket, match: re.Match[str]) -> None:
    name = match[0].strip()
    if found.asset not in (None, name):
        raise AgentError(f"{found.asset} and {name} are both named; a sentence has one asset")
    found.asset, found.series = name, COMMODITIES.get(name, name)
    history = f"series {found.series}" if found.series else "the bundle's own history"
    found.reasons.append(f"{name}: asset {name}, {history}")
    if name in COMMODITIES and "kind" not in found.terms:
        found.say(f"{name} (guessed)", kind="future")


def _classes(phrase: str) -> list[str]:
    """Return a phrase a class for "six classes of traders"; nothing for any other phrase."""
    asked = re.fullmatch(rf"{_N} (?:classes|kinds|types) of (?:traders|investors|agents)", phrase)
    if asked is None:
        return []
    count = int(_number(asked))
    if not 1 <= count <= len(CLASSES):
        raise AgentError(f"{phrase!r}: there are {len(CLASSES)} classes, {', '.join(CLASSES)}")
    return list(CLASSES[:count])


_SHORT = r"short (?:sales?|selling)"
_NAMES = "|".join([*SERIES_NAMES, *COMMODITIES])
_TERMS: list[tuple[str, Callable[[DescribedMarket, re.Match[str]], None]]] = [
    # the longer goes first: "maintenance margin" holds the words of "margin"
    *((f"(?:{head})(?: of| at| is)? {_RATIO}", _rate(key)) for key, head in _RATES.items()),
    *((f"{_RATIO} (?:of )?(?:{head})", _rate(key)) for key, head in _RATES.items()),
    (f"no (?:{_RATES['fee_bps']})", _say(fee_bps=0)),
    (f"no (?:{_RATES['sell_tax_bps']})", _say(sell_tax_bps=0)),
    (rf"{_N} (?:(?P<clearing>call|continuous) )?turns?{_DAY}", _take_turns),
    (rf"lots? of {_N}(?: shares?| units?| tonnes?| tons?| barrels?| ounces?)?", _take_lot),
    (f"(?:{_SHORT} )?(?:by |at )?(?:the |an )?uptick(?: rule)?", _say(short_sales="uptick")),
    (f"(?:no|without|forbidden) {_SHORT}", _say(short_sales="forbidden")),
    (f"(?:with |allowed )?{_SHORT}(?: is| are)?(?: allowed)?", _say(short_sales="allowed")),
    (r"t ?\+ ?1", _say(sell_next_day=True)),
    (_NAMES, _take_asset),
    (r"futures?(?: contracts?)?", _say(kind="future")),
    (r"stocks?|shares?|equit(?:y|ies)", _say(kind="equity")),
]
_PATTERNS = [(re.compile(rf"(?:^|(?<= ))(?:{words})(?= |$)"), take) for words, take in _TERMS]

"""The words in which people describe investors, and what each stands for in a cast."""

from __future__ import annotations

from typing import Any

NUMBERS: dict[str, int] = {
    word: number
    for number, word in enumerate(
        [
            "zero",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
            "thirteen",
            "fourteen",
            "fifteen",
            "sixteen",
            "seventeen",
            "eighteen",
            "nineteen",
        ]
    )
} | {
    word: 10 * number
    for number, word in enumerate(
        ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], start=2
    )
}
SCALES = {"dozen": 12, "hundred": 100, "thousand": 1_000}
VAGUE = {"a": 1, "an": 1, "couple": 2, "few": 3, "several": 5, "some": 10, "many": 30}
"""Counts that are guessed; all but ``a`` and ``an`` are marked so."""

PLURAL = 10
"""How many are meant where nobody says."""

_STYLES = {
    "momentum": "momentum;trend;trend following;trend follower;trend riding;trend rider;"
    "performance chasing;return chasing;chaser",
    "value": "value;bargain hunting;bargain hunter;fundamental;fundamentalist;thrifty",
    "contrarian": "contrarian;sceptical;sceptic;skeptical;skeptic;defiant;rebellious",
    "breakout": "breakout;range trading;technical;chartist",
    "risk-averse": "risk averse;cautious;careful;conservative;prudent;nervous;anxious;fearful;"
    "timid;worried;defensive;safety minded;hedging;income seeking",
    "herding": "herding;herd;follower;crowd following;copycat;conformist;imitating;imitator;"
    "gregarious",
    "news-driven": "news driven;news reading;news reader;headline driven;headline;news hungry",
}
STYLE_WORDS: dict[str, str] = {
    word: style for style, words in _STYLES.items() for word in words.split(";")
}
BARE_WORDS = ("ordinary", "plain", "naive", "untrained", "average", "typical")
"""Said of who has no style: the bare model."""

DIVERSE_WORDS = ("diverse", "different", "varied", "various")
"""Said of many who are no two alike, see `agents.casts.backgrounds`."""

TEMPERAMENTS: dict[str, dict[str, Any]] = {
    "calm": {"temperature": 0.6},
    "disciplined": {"temperature": 0.5},
    "rational": {"temperature": 0.5},
    "experienced": {"temperature": 0.7},
    "impulsive": {"temperature": 2.0},
    "emotional": {"temperature": 1.8},
    "erratic": {"temperature": 2.5},
    "inexperienced": {"temperature": 1.6},
    "rich": {"wealth": 5.0},
    "wealthy": {"wealth": 5.0},
    "poor": {"wealth": 0.3},
    "small": {"wealth": 0.3},
    "large": {"wealth": 5.0},
    "big": {"wealth": 5.0},
    "patient": {"horizon_days": 250.0},
    "long term": {"horizon_days": 250.0},
    "short term": {"horizon_days": 5.0},
    "impatient": {"horizon_days": 3.0},
    "gullible": {"receptivity": 1.0},
    "stubborn": {"receptivity": 0.2},
    "aggressive": {"orders": {"aggressiveness": 1.5, "size": 1.5, "patience": 0.5}},
    "passive": {"orders": {"aggressiveness": 0.5, "patience": 2.0}},
    "bold": {"temperature": 1.4},
    "reckless": {"temperature": 2.2},
    "leveraged": {"orders": {"size": 2.0}},
    "sophisticated": {"temperature": 0.5},
    "informed": {"temperature": 0.6},
    "uninformed": {"temperature": 1.6, "never_sees": ["value", "news"]},
    "institutional": {"wealth": 20.0, "temperature": 0.6},
    "retail": {"wealth": 0.3, "temperature": 1.4},
    "commercial": {"wealth": 10.0},
    "high frequency": {"horizon_days": 1.0},
    "fast": {"horizon_days": 2.0},
    "slow": {"horizon_days": 120.0},
}

OCCUPATIONS: dict[str, dict[str, Any]] = {
    "investor": {},
    "trader": {"horizon_days": 5.0},
    "day trader": {"wealth": 0.5, "horizon_days": 1.0, "temperature": 1.3},
    "swing trader": {"horizon_days": 10.0},
    "speculator": {"horizon_days": 5.0, "temperature": 1.3},
    "hedger": {"style": "risk-averse", "wealth": 10.0, "horizon_days": 120.0, "temperature": 0.6},
    "producer": {"style": "risk-averse", "wealth": 20.0, "horizon_days": 120.0, "temperature": 0.6},
    "miner": {"style": "risk-averse", "wealth": 20.0, "horizon_days": 120.0, "temperature": 0.6},
    "consumer": {"style": "value", "wealth": 20.0, "horizon_days": 120.0, "temperature": 0.6},
    "merchant": {"style": "value", "wealth": 10.0, "horizon_days": 20.0, "temperature": 0.6},
    "arbitrageur": {"style": "value", "wealth": 10.0, "horizon_days": 5.0, "temperature": 0.5},
    "scalper": {"wealth": 0.5, "horizon_days": 1.0, "temperature": 1.2},
    "position trader": {"horizon_days": 120.0},
    "proprietary trader": {"wealth": 5.0, "horizon_days": 5.0, "temperature": 0.8},
    "quant": {"wealth": 10.0, "horizon_days": 10.0, "temperature": 0.4},
    "trend trader": {"style": "momentum", "horizon_days": 60.0},
    "commodity trading advisor": {"style": "momentum", "wealth": 20.0, "horizon_days": 60.0},
    "cta": {"style": "momentum", "wealth": 20.0, "horizon_days": 60.0},
    "retail investor": {"wealth": 0.3, "temperature": 1.4},
    "retail trader": {"wealth": 0.3, "horizon_days": 5.0, "temperature": 1.6},
    "institution": {"wealth": 20.0, "horizon_days": 120.0, "temperature": 0.6},
    "institutional investor": {"wealth": 20.0, "horizon_days": 120.0, "temperature": 0.6},
    "asset manager": {"wealth": 20.0, "horizon_days": 120.0, "temperature": 0.6},
    "bank": {"wealth": 30.0, "horizon_days": 20.0, "temperature": 0.6},
    "broker": {"wealth": 4.0, "horizon_days": 5.0, "temperature": 0.8},
    "mutual fund": {"wealth": 20.0, "horizon_days": 120.0, "temperature": 0.6},
    "sovereign wealth fund": {"wealth": 100.0, "horizon_days": 500.0, "temperature": 0.5},
    "endowment": {"wealth": 30.0, "horizon_days": 500.0, "temperature": 0.5},
    "family office": {"wealth": 15.0, "horizon_days": 250.0, "temperature": 0.6},
    "central bank": {"wealth": 100.0, "horizon_days": 500.0, "temperature": 0.4},
    "whale": {"wealth": 100.0},
    "gambler": {"wealth": 0.3, "horizon_days": 1.0, "temperature": 2.5},
    "amateur": {"wealth": 0.3, "temperature": 1.6},
    "saver": {"wealth": 0.7, "horizon_days": 250.0, "temperature": 0.8},
    "pensioner": {"wealth": 1.5, "horizon_days": 250.0, "temperature": 0.7},
    "retiree": {"wealth": 1.5, "horizon_days": 250.0, "temperature": 0.7},
    "student": {"wealth": 0.1, "horizon_days": 20.0, "temperature": 1.8},
    "teacher": {"wealth": 0.7, "horizon_days": 120.0},
    "nurse": {"wealth": 0.5, "horizon_days": 120.0},
    "farmer": {"wealth": 1.0, "horizon_days": 120.0},
    "engineer": {"wealth": 1.2, "horizon_days": 60.0, "temperature": 0.8},
    "doctor": {"wealth": 2.5, "horizon_days": 120.0},
    "lawyer": {"wealth": 2.5, "horizon_days": 60.0},
    "shopkeeper": {"wealth": 0.8, "horizon_days": 60.0},
    "journalist": {"wealth": 0.7, "horizon_days": 10.0},
    "professor": {"wealth": 1.2, "horizon_days": 250.0, "temperature": 0.6},
    "banker": {"wealth": 4.0, "horizon_days": 20.0, "temperature": 0.7},
    "analyst": {"wealth": 1.5, "horizon_days": 40.0, "temperature": 0.6},
    "fund": {"wealth": 20.0, "horizon_days": 60.0, "temperature": 0.6},
    "fund manager": {"wealth": 20.0, "horizon_days": 60.0, "temperature": 0.6},
    "hedge fund": {"wealth": 20.0, "horizon_days": 10.0, "temperature": 0.6},
    "pension fund": {"wealth": 50.0, "horizon_days": 250.0, "temperature": 0.5},
    "insurer": {"wealth": 50.0, "horizon_days": 250.0, "temperature": 0.5},
    "entrepreneur": {"wealth": 3.0, "horizon_days": 40.0, "temperature": 1.3},
    "company": {"kind": "company"},
    "industry": {"kind": "industry"},
    "market maker": {"kind": "rule", "rule": "market-makers"},
    "dealer": {"kind": "rule", "rule": "market-makers"},
    "liquidity provider": {"kind": "rule", "rule": "market-makers"},
    "noise trader": {"kind": "rule", "rule": "noise-traders"},
    "forecaster": {"kind": "rule", "rule": "forecasters"},
}
"""Wealth (an ordinary investor has 1), how long they mean to hold, temperature, the style that a
trade implies where no other word names one. Assumptions."""

FIELD_WORDS: dict[str, tuple[str, ...]] = {
    "news": ("news",),
    "headline": ("news",),
    "crowd": ("crowd",),
    "other": ("crowd",),
    "peer": ("crowd",),
    "neighbour": ("crowd",),
    "trend": ("trend",),
    "momentum": ("trend",),
    "chart": ("trend", "range"),
    "price": ("trend", "value", "range"),
    "value": ("value",),
    "valuation": ("value",),
    "fundamental": ("value",),
    "range": ("range",),
    "volatility": ("volatility",),
    "risk": ("volatility",),
}
"""Signs that a cast can mask, by the words for them."""

SEEING = ("see", "read", "hear", "watch", "know", "follow", "get", "look at", "notice")
HIDING = ("ignore", "miss", "without", "blind to", "avoid", "lack")
FILLERS = frozenset(
    [
        "the",
        "of",
        "to",
        "at",
        "who",
        "that",
        "which",
        "are",
        "is",
        "be",
        "with",
        "very",
        "rather",
        "quite",
        "all",
        "their",
        "them",
        "and",
        "or",
        "nor",
        "but",
        "any",
        "do",
        "not",
        "never",
        "no",
        "only",
        "nothing",
        "kind",
        "type",
        "people",
        "person",
        "men",
        "women",
        "in",
        "on",
        "for",
        "it",
        "they",
        "please",
        "give",
        "me",
        "make",
        "us",
        "want",
        "would",
        "like",
    ]
)

"""From a sentence to members of a cast: what was understood of each word, guessed, or not at all.

Nothing is decided that a table of `agents.casts.words` does not say; the rest is handed back.
"""

from __future__ import annotations

import copy
import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from evobourse.agents.casts.words import (
    BARE_WORDS,
    DIVERSE_WORDS,
    FIELD_WORDS,
    FILLERS,
    HIDING,
    NUMBERS,
    OCCUPATIONS,
    PLURAL,
    SCALES,
    SEEING,
    STYLE_WORDS,
    TEMPERAMENTS,
    VAGUE,
)
from evobourse.agents.errors import AgentError
from evobourse.agents.observation import FIELD_NAMES

_LONGEST = 3
_TYPO = 0.84
_COUNTS = {*NUMBERS, *SCALES, *VAGUE}
_DENIALS = {"no", "not", "never", "nothing", "nor", "without"}
_KNOWN = (*STYLE_WORDS, *BARE_WORDS, *DIVERSE_WORDS, *TEMPERAMENTS, *OCCUPATIONS)


@dataclass
class Described:
    """A member as a phrase describes it.

    Attributes
    ----------
    phrase
        The words.
    values
        Keys and values of a cast's member, `experiments.config.cast.Member`.
    reasons
        What was read from which word, and what was guessed.
    left
        Words that no table knows and that stand where an adjective does: a style may be guessed
        from them.
    lost
        Words that were not understood.
    unknown
        The noun, where no table knows it: an investor is guessed.
    diverse
        No two of them are to be alike.
    """

    phrase: str
    values: dict[str, Any] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    unknown: str | None = None
    diverse: bool = False


def read_sentence(sentence: str) -> list[Described]:
    """Read members from a sentence such as "ten momentum day-traders who see no news".

    Returns
    -------
    list of Described
        One a phrase, in order, of those with a noun or a style; names are unique.

    Raises
    ------
    AgentError
        No phrase says who trades.
    """
    members, lost = read_phrases(split_phrases(sentence))
    if not members:
        raise AgentError(
            f"cast: nobody is named in {sentence!r}; say how many of whom, as in 'forty cautious "
            "pensioners, ten momentum day-traders who see no news'"
        )
    members[-1].lost += lost
    return members


def split_phrases(sentence: str) -> list[str]:
    """Cut a sentence into phrases of small letters, each of which says one thing."""
    plain = re.sub(r"(?<=\d),(?=\d{3})", "", sentence.lower()).replace("-", " ")
    return _phrases(plain)


def read_phrases(phrases: Sequence[str]) -> tuple[list[Described], list[str]]:
    """Read members from phrases; names are unique. Return them, and phrases that name nobody."""
    members, lost = [], []
    for phrase in phrases:
        described = _read_phrase(phrase)
        if described is None:
            lost.append(phrase)
        else:
            members.append(described)
    taken: set[str] = set()
    for member in members:
        name, number = member.values["name"], 2
        while member.values["name"] in taken:
            member.values["name"], number = f"{name}-{number}", number + 1
        taken.add(member.values["name"])
    return members, lost


def read_number(words: list[str]) -> int:
    """Read a number from words of the tables: "two hundred fifty" is 250."""
    total = part = 0
    for word in words:
        if word.isdigit():
            part += int(word)
        elif word in SCALES:
            part = max(part, 1) * SCALES[word]
            if word == "thousand":
                total, part = total + part, 0
        elif word in NUMBERS:
            part += NUMBERS[word]
        else:
            part = max(part, VAGUE[word])
    return total + part


def singular(word: str) -> str:
    """Return a noun's singular, by its ending."""
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def _phrases(plain: str) -> list[str]:
    """Cut at commas and semicolons, and at an "and" that a number or a noun of its own follows."""
    parts = []
    for part in re.split(r"(?:[,;\n]|\.(?!\d))+", plain):  # the point of 2.5 is no full stop
        words, start = part.split(), 0
        for at, word in enumerate(words):
            after = words[at + 1 : at + 2]
            counted = after and (after[0] in _COUNTS or after[0].isdigit())
            number = words[at - 1 : at]
            within = number and number[0] in SCALES  # "two hundred and fifty"
            if word == "and" and counted and not within:
                parts.append(" ".join(words[start:at]))
                start = at + 1
        parts.append(" ".join(words[start:]))
    return [part.strip() for part in parts if part.strip()]


def _read_phrase(phrase: str) -> Described | None:
    found = Described(phrase)
    count, words = _take_count(re.findall(r"[a-z0-9']+", phrase), found)
    words, clause = _take_signs(words, found)
    name: list[str] = []
    noun = False
    for part in (words, clause):
        at = 0
        while at < len(part):
            length, key, read = _longest(part, at)
            said = " ".join(part[at : at + length])
            if key is not None:
                if part is words:
                    name.append(said)
                noun |= _apply(key, said if read == said else f"{said} (as {read})", found)
            elif said not in FILLERS:
                (found.left if part is words else found.lost).append(said)
            at += length
    if not noun and count is not None and words and words[-1] in found.left:
        found.left.remove(words[-1])
        found.unknown = words[-1]
        name.append(words[-1])
        found.reasons.append(f"{words[-1]}: no occupation known, an investor (guessed)")
        noun = True
    if not (noun or found.values.keys() & {"style", "mixture", "bare"}):
        return None
    if count is None:
        plural = bool(words) and words[-1] != singular(words[-1])
        count = PLURAL if plural else 1
        found.reasons.append(f"no number: count {count} (guessed)")
    found.values.pop("bare", None)
    if found.values.get("kind") == "rule":
        for key in found.values.keys() - {"kind", "rule", "wealth"}:
            found.lost.append(f"{key} of traders that follow a rule")
            del found.values[key]
    found.values = {"name": "-".join("-".join(name).split()), "count": count, **found.values}
    return found


def _take_count(words: list[str], found: Described) -> tuple[int | None, list[str]]:
    taken = 0
    while taken < len(words) and (words[taken] in _COUNTS or words[taken].isdigit()):
        taken += 1
        after = words[taken : taken + 2]
        if len(after) == 2 and after[0] == "and" and after[1] in NUMBERS:
            taken += 1
    number = [word for word in words[:taken] if word != "and"]
    if not number:
        return None, words
    count = read_number(number)
    guessed = set(number) & (VAGUE.keys() - {"a", "an"})
    found.reasons.append(f"{' '.join(number)}: count {count}{' (guessed)' if guessed else ''}")
    if not 1 <= count <= 1_000_000:
        raise AgentError(f"cast: {' '.join(words)!r} counts {count}, expected 1 to 1,000,000")
    return count, words[taken:]


def _take_signs(words: list[str], found: Described) -> tuple[list[str], list[str]]:
    """Cut off "who see no news and no trend", "who only read news", "without news", and read it.

    Returns
    -------
    tuple
        The words before, and those of the clause that say nothing of signs.
    """
    opening = {"who", "that", "which", "without", "ignoring"}
    start = next((at for at, word in enumerate(words) if word in opening), len(words))
    words, clause = words[:start], words[start:]
    signs = {w: FIELD_WORDS[f] for w in clause for f in (w, singular(w)) if f in FIELD_WORDS}
    hides = {word for verb in HIDING for word in verb.split()} | {"ignoring"}
    only = "only" in clause or ("nothing" in clause and "but" in clause)
    denied = any(w in _DENIALS or w in hides or singular(w) in hides for w in clause)
    if not signs or not (only or denied):
        return words, [word for word in clause if word not in opening]
    fields = [name for name in FIELD_NAMES if any(name in names for names in signs.values())]
    key = "only_sees" if only else "never_sees"
    found.values[key] = fields
    found.reasons.append(f"{' '.join(clause)}: {key} {', '.join(fields)}")
    verbs = {word for verb in SEEING for word in verb.split()} | hides | opening
    return words, [w for w in clause if w not in signs and not {w, singular(w)} & verbs]


def _longest(words: list[str], at: int) -> tuple[int, str | None, str]:
    """Return the most words from here that a table knows, the key, and what they were read as."""
    for length in range(min(_LONGEST, len(words) - at), 0, -1):
        said = " ".join(words[at : at + length])
        for form in (
            said,
            " ".join([*words[at : at + length - 1], singular(words[at + length - 1])]),
        ):
            if form in _KNOWN:
                return length, form, said
    if len(words[at]) >= 5 and words[at] not in FILLERS:
        near = difflib.get_close_matches(singular(words[at]), _KNOWN, n=1, cutoff=_TYPO)
        if near:
            return 1, near[0], near[0]
    return 1, None, ""


def _apply(key: str, shown: str, found: Described) -> bool:
    """Take over what a word stands for; return whether it is a noun."""
    values, noun = found.values, key in OCCUPATIONS
    if noun:
        # what an adjective says goes before
        styled = values.keys() & {"style", "mixture", "bare"}
        given = {
            k: v
            for k, v in OCCUPATIONS[key].items()
            if k not in values and not (k == "style" and styled)
        }
        values.update(given)
    elif key in STYLE_WORDS:
        styles = [*values.pop("mixture", {}), *filter(None, [values.pop("style", None)])]
        styles = list(dict.fromkeys([*styles, STYLE_WORDS[key]]))
        if len(styles) == 1:
            given = {"style": styles[0]}
        else:
            given = {"mixture": dict.fromkeys(styles, round(1 / len(styles), 3))}
        values.update(given)
    elif key in DIVERSE_WORDS:
        found.diverse, given = True, {"backgrounds": "no two alike"}
    elif key in BARE_WORDS:
        values["bare"], given = True, {"style": "none, the bare model"}
    else:
        given = copy.deepcopy(TEMPERAMENTS[key])
        if "orders" in given:
            given["orders"] = {**values.get("orders", {}), **given["orders"]}
        values.update(given)
    said = ", ".join(f"{k} {v:g}" if isinstance(v, float) else f"{k} {v}" for k, v in given.items())
    found.reasons.append(f"{shown}: {said or 'nothing in particular'}")
    return noun

"""Tables and text of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from evobourse.experiments.reports.figure_lines import Report
from evobourse.experiments.reports.intervals import bootstrap_interval, write_interval
from evobourse.experiments.studies.news.measures import Agreement, Floats, agree, sign_flip_p
from evobourse.experiments.studies.news.readings import ARMS, NewsDays
from evobourse.fitness.comparisons import holm

Rows = NDArray[np.int64]

TEACHERS = "teachers, the population's mean"
"""What the minds are held against in pairs."""


def tell(
    part: str,
    rows: Rows,
    days: NewsDays,
    readers: Mapping[str, Floats],
    rules: Mapping[str, Floats],
    report: Report,
) -> str:
    """Return a stretch's tables, and tell its figures."""
    move = days.move[rows]
    found = {name: [agree(arm[rows], move) for arm in arms] for name, arms in readers.items()}
    plain = {name: agree(row[rows], move) for name, row in rules.items()}
    gains = {name: arms[0].right - arms[1].right for name, arms in found.items()}
    swaps = {
        name: arms[0].right - np.mean([arm.right for arm in arms[len(ARMS) :]], axis=0)
        for name, arms in found.items()
    }
    raw = [[arms[0].p_value, sign_flip_p(gains[n]), arms[2].p_value] for n, arms in found.items()]
    p_values = dict(zip(found, holm(np.ravel(raw)).reshape(-1, 3), strict=True))
    teachers = plain[TEACHERS].right
    lines = [
        "| who | signs right, %: sentence and words | words alone | the sentence's worth, points "
        "| over other days' sentences | over the teachers | tendency moved by the sentence |",
        "|---" * 7 + "|",
    ]
    for name, arms in found.items():
        right = arms[0].right
        moved = np.abs(readers[name][0] - readers[name][1])[rows].mean()
        cells = [percent(arms[0]), percent(arms[1])]
        cells += [worth(gains[name], p_values[name][1]), worth(swaps[name])]
        cells += [worth(right - teachers), f"{moved:.2f}"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += [f"| {name} | | {percent(one)} | | | | |" for name, one in plain.items()]
    lines += [
        "",
        "| who | rank correlation with the move: sentence and words | words alone | "
        "sentence alone | slope: standard deviations a unit | correlation of sizes |",
        "|---" * 6 + "|",
    ]
    for name, arms in found.items():
        both, words, text = arms[: len(ARMS)]
        cells = [starred(both, p_values[name][0]), write_interval(words.ranks)]
        cells += [starred(text, p_values[name][2]), write_interval(both.slope)]
        lines.append(f"| {name} | {' | '.join([*cells, write_interval(both.size)])} |")
        report.figure(
            f"signs right with the sentence, {part}, {name}, {len(rows)} days",
            both.signs[0], "1", "words alone", None,
            words_alone=words.signs[0], low=both.signs[1], high=both.signs[2],
            ranks=both.ranks[0], ranks_p_holm=float(p_values[name][0]),
            over_teachers=float((found[name][0].right - teachers).mean()),
            worth=float(gains[name].mean()), worth_p_holm=float(p_values[name][1]),
        )  # fmt: skip
    for name, one in plain.items():
        if not np.isnan(one.ranks[0]):
            size = "" if np.isnan(one.size[0]) else write_interval(one.size)
            lines.append(f"| {name} | | {write_interval(one.ranks)} | | | {size} |")
        figure = f"signs right, {part}, {name}, {len(rows)} days"
        report.figure(figure, one.signs[0], "1", low=one.signs[1], high=one.signs[2])
    least = 100 * 1.96 / 2 / np.sqrt(len(rows))
    title, count = part.capitalize(), len(rows)
    head = (
        f"## {title}: {count} days\n\nA share of signs differs from a half by "
        f"itself from {least:.0f} points on (5 %, one row alone)."
    )
    return f"{head}\n\n" + "\n".join(lines)


def percent(one: Agreement) -> str:
    """Write a share of right signs."""
    mean, low, high = (100 * value for value in one.signs)
    return write_interval((mean, low, high), 0)


def worth(differences: Floats, p_value: float = np.nan) -> str:
    """Write what right signs differ by, in points, with a star where it is more than chance."""
    mean, low, high = (100 * value for value in bootstrap_interval(differences))
    return write_interval((mean, low, high), 0, "+") + " *" * bool(p_value < 0.05)


def starred(one: Agreement, p_value: float) -> str:
    """Write a rank correlation, with a star where it is more than chance."""
    return write_interval(one.ranks) + " *" * bool(p_value < 0.05)


def extremes(
    days: NewsDays,
    dates: NDArray[np.datetime64],
    arms: Floats,
    rows: Rows,
    part: str,
    count: int = 5,
) -> str:
    """Return the sentences that lift and lower the population's mean most, by themselves."""
    order = rows[np.argsort(arms[ARMS.index("text")][rows], kind="stable")]
    chosen: Sequence[int] = [*order[-count:][::-1], *order[:count]]
    lines = ["| day | sentence | tendency | the day's move |", "|---|---|---|---|"]
    for row in chosen:
        lean = arms[ARMS.index("text")][row]
        lines.append(f"| {dates[row]} | {days.texts[row]} | {lean:+.2f} | {days.move[row]:+.1f} |")
    head = (
        f"## What is read as good and bad, {part}\n\nBy the population's mean, the sentence alone."
    )
    return f"{head}\n\n" + "\n".join(lines)


PAGE = """# News: what minds make of a day's facts

Written by `{command}`; do not edit.

{facts} facts of `{file}`, each known before the open of its day; {scored} days from {first} to
{last} have a year of {series} before them. Population `{population}` on `{base}`.

Each mind reads the rules, `News:` and the sentence, and behind `Today:` the words of the day:
trend, value, range and risk of the closes before, and what others did, for which yesterday's move
and volume stand as in the styles' training. The word for news is withheld, since it is the market's
own reaction. The mind answers with one of five letters. Its tendency is the mean of that choice,
-2 to 2; a persona's is at its temperature, a style's at 1. How a mind leans over the days of the
{calibrated} stretch is taken from its answers first, with and without the sentence apart.

The tendency is held against the log return of the day, close to close, in standard deviations of
the twenty days before. Right signs count 1, none a half. Intervals are at 95 %, by resampling days.
"The sentence's worth" is the same mind with the sentence less without it, in pairs; "over other
days' sentences" is the same mind with the day's sentence less the mean of {others} readings of
sentences that were exchanged between days of the stretch; "over the teachers" is with the sentence
less the teachers' mean. The last column is how far the sentence moves the tendency, either way, in
the mean. A star is p under 5 % after Holm's
correction over all rows of a stretch and three tests each: rank correlation with sentence and words
(moves exchanged between days), the same of the sentence alone, and the sentence's worth (signs of
pairs exchanged).

Teachers are the styles' rules in the minds' place: they see the same words and cannot read.

{sections}

{extremes}

## How to read this

- Facts that came out while the market traded on the day before are in that day's close already; the
  last stretch leaves them out.
- **Contamination.** The base was trained after these days and has read of them. No sentence has a
  date, but names tell which day it was. A gain could be memory instead of judgement.
- One fact a day was chosen out of all that was known on it, by importance, not by what the market
  did, yet by somebody who knew the years since ([News with dates](../news.md)).
"""

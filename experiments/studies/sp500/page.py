"""The page of the study: tables, what was asked, and one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from evobourse.experiments.config.experiment import ExperimentConfig
from evobourse.experiments.reports.figures import new_figure, plain_axes
from evobourse.experiments.reports.intervals import show, write_interval
from evobourse.experiments.reports.scores import REAL_TARGET
from evobourse.experiments.studies.sp500.arms import ARMS, CHOSEN, EVOLVED
from evobourse.experiments.studies.sp500.standings import (
    Reading,
    conditional_ratio,
    conditional_standing,
)
from evobourse.experiments.sweep.pasts import REFERENCE
from evobourse.fitness.conditional.energy import pool_quarters
from evobourse.fitness.palette import COLOURS, MUTED

Readings = Mapping[str, Mapping[str, Sequence[Reading]]]
_RIVALS = ("gjr_garch_t", "fw_t")
_HEADINGS = (
    "row",
    "what it is",
    "J/J95 [95 %]",
    "prices alone",
    "`evolved` over it [95 %]",
    "skill",
    "conditional",
    "end lower",
    "volume and abs r",
    "joint MCR",
    "Hill inside",
    "ACF inside",
)


def write_page(
    record: Mapping[str, Any],
    readings: Readings,
    meanings: Mapping[str, str],
    config: ExperimentConfig,
) -> str:
    """Write the page of a record, of readings by split and name, and of the sweeps' config."""
    market = config.market
    return PAGE.format(
        command=record["command"],
        trained=" and ".join(record["trained"]),
        judged=", ".join(record["assets"]),
        seeds=record["sweep_seeds"],
        generations=record["generations"],
        candidates=record["candidates"],
        agents=market.agents,
        days=market.days,
        paths=market.paths,
        standings=_standings(record["rows"], meanings),
        asked=_asked(record["rows"], readings["heldout"]),
        quarters=len(pool_quarters(readings["heldout"][REFERENCE][0].given)),
        splits=_splits(readings),
        assets=_assets(readings["heldout"]),
        heldout=", ".join(f"{name} to {last[:4]}" for name, (_, last) in record["heldout"].items()),
    )


def _standings(rows: Mapping[str, Mapping[str, Any]], meanings: Mapping[str, str]) -> str:
    lines = [f"| {' | '.join(_HEADINGS)} |", "|---|---" + "|---:" * (len(_HEADINGS) - 2) + "|"]
    for name, row in sorted(rows.items(), key=lambda item: item[1]["score"] or np.inf):
        score = _interval(row["score"], row["ci_low"], row["ci_high"])
        against = _interval(*row["against"]) if "against" in row else "-"
        shares = [row["ends_lower"], row["mcr"], row["hill_inside"], row["acf_inside"]]
        lower, mcr, hill, acf = ("-" if share is None else f"{share:.0%}" for share in shares)
        cells = [
            f"`{name}`",
            meanings.get(name, name),
            score,
            _number(row["score_prices"]),
            against,
            _number(row["skill"]),
            _with_p(row["conditional_skill"], row["conditional_p"]),
            lower,
            _number(row["volume_volatility"]),
            mcr,
            hill,
            acf,
        ]
        if name == EVOLVED:
            cells = [f"**{cell}**" for cell in cells]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _asked(rows: Mapping[str, Mapping[str, Any]], heldout: Mapping[str, Sequence[Reading]]) -> str:
    """Set what a market that holds up would show beside what was found."""
    row = rows[EVOLVED]
    real = heldout[REAL_TARGET][0].mean_of("volume_volatility")
    lines = [
        ("30 to 70 % of paths end lower", _yes(0.3 <= row["ends_lower"] <= 0.7),
         f"{row['ends_lower']:.1%}"),
        (f"volume moves with volatility as in real days ({real:.2f}), within .1",
         _yes(abs(row["volume_volatility"] - real) <= 0.1), f"{row['volume_volatility']:.2f}"),
        ("the tail index of half of the paths lies in the real 95 % band",
         _yes(row["hill_inside"] >= 0.5), f"{row['hill_inside']:.1%}"),
        ("so do both autocorrelations of absolute returns", _yes(row["acf_inside"] >= 0.5),
         f"{row['acf_inside']:.1%}"),
        ("skill below 1", _yes(row["skill"] is not None and row["skill"] < 1),
         _number(row["skill"])),
    ]  # fmt: skip
    for name in rows:
        if name in _RIVALS or (name in ARMS and name != EVOLVED):
            mean, low, high = rows[name]["against"]
            better = "undecided"
            if None not in (low, high) and not low <= 1 <= high:
                better = _yes(mean < 1)
            lines.append((f"better than `{name}`", better, _interval(mean, low, high)))
    lines += _asked_given_pasts(heldout)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _asked_given_pasts(heldout: Mapping[str, Sequence[Reading]]) -> list[tuple[str, str, str]]:
    """Set `evolved` beside what else was evolved, and the law told the past, given real pasts.

    A difference holds where it is told over calendar quarters and, of several seeds, over seeds.
    """
    lines = []
    for name, readings in heldout.items():
        if name != REFERENCE and (name not in ARMS or name == EVOLVED):
            continue
        standing = conditional_standing(heldout[EVOLVED], readings)
        if not standing.quarters:
            continue
        mean, low, high = conditional_ratio(heldout[EVOLVED], readings)
        better = {"better": "yes", "worse": "no"}.get(standing.verdict, "undecided")
        if low <= 1 <= high:  # False for NaN: one seed has no interval
            better = "undecided"
        found = _interval(mean, low, high)
        if np.isfinite(standing.p_value):
            found += f", p {standing.p_value:.2g}"
        lines.append((f"better than `{name}` given real pasts", better, found))
    return lines


def _splits(readings: Readings) -> str:
    splits = ("train", "validation", "heldout")
    lines = []
    for name in readings["train"]:
        cells = [show([one.pooled(True) for one in readings[split][name]]) for split in splits]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def _assets(heldout: Mapping[str, Sequence[Reading]]) -> str:
    names = next(iter(heldout.values()))[0].names
    lines = [f"| | {' | '.join(names)} |", "|---" + "|---:" * len(names) + "|"]
    for name, readings in heldout.items():
        means = np.mean([one.by_asset() for one in readings], axis=0)
        lines.append(f"| `{name}` | {' | '.join(map(_number, means))} |")
    return "\n".join(lines)


def draw_scores(heldout: Mapping[str, Sequence[Reading]], meanings: Mapping[str, str]) -> Figure:
    """Draw each population's and law's pooled score without volume, a dot a sweep."""
    middle = {
        name: float(np.mean([one.pooled(False) for one in each])) for name, each in heldout.items()
    }
    order = sorted(heldout, key=lambda name: -middle[name])
    figure = new_figure(8.0, 0.34 * len(order) + 1.2)
    axes = figure.subplots()
    for place, name in enumerate(order):
        scores = [one.pooled(False) for one in heldout[name]]
        colour = COLOURS[0] if name in (EVOLVED, CHOSEN) else COLOURS[1] if name in ARMS else MUTED
        axes.plot(scores, [place] * len(scores), "o", color=colour, alpha=0.45, ms=5, mew=0)
        axes.plot(middle[name], place, "|", color=colour, ms=14, mew=2.5)
    axes.set_yticks(range(len(order)), [meanings.get(name, name) for name in order])
    axes.set(xscale="log", xlabel="J/J95 of prices, held out, pooled over assets; less is better")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    plain_axes(axes, grid="both")
    return figure


def _interval(*ends: float | None) -> str:
    mean, low, high = (np.nan if end is None else end for end in ends)
    if not np.isfinite(mean):
        return "-"
    return write_interval((mean, low, high)) if np.isfinite(low) else _number(mean)


def _number(value: float | None) -> str:
    return "-" if value is None or not np.isfinite(value) else f"{value:.2f}"


def _with_p(skill: float | None, p_value: float | None) -> str:
    return _number(skill) + (f" (p {p_value:.2g})" if p_value is not None else "")


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"


PAGE = """# Do evolved markets hold up?

Written by `{command}`; do not edit.

Sweep seeds an arm: {seeds}.
A sweep has {generations} generations, {candidates} candidates, each of {paths} paths an asset with
{agents} agents and {days} days, on training windows of {trained}.
Champions are chosen on training and validation windows.
The held-out windows of {judged} are read once for each.
All arms have the same budget, and each is evolved anew.

## Held out, pooled

{standings}

- J/J95 is pooled over assets by the geometric mean; less is closer to the real market.
- Laws have no volume: compare them in the column of prices alone.
- Laws are fitted on each asset's own training years; populations have seen {trained} alone.
- Intervals of evolved rows are over sweep seeds, those of laws and of one chosen sweep over groups
  of paths.
- `evolved` over a row is the ratio of scores on the moments that both have; below 1 `evolved` is
  better.
- Skill is the score over that of real training days.
- Conditional is the energy score of what follows real pasts, over that of GARCH-t told the same
  pasts, with the p-value of their difference over {quarters} calendar quarters; below 1 is better
  ([decision 131](../decisions/131-what-follows-a-given-past.md)).
- Joint MCR is the share of paths of which all moments of prices lie in the real 95 % bands.
- Hill and ACF inside are shares of paths in the real 95 % band, of ACF the lesser of lags 1-2 and
  4-11.

![scores by row](sp500.png)

## What was asked

| asked of `evolved` | holds | found |
|---|---|---:|
{asked}

Given real pasts the ratio is of energy scores, with its interval over sweep seeds and the p-value
of the difference over calendar quarters.

## Training, validation, held out

| arm | training | validation | held out |
|---|---:|---:|---:|
{splits}

Means over seeds with 95 % intervals (Student's t), pooled over the judged assets.

## By asset

Held out, prices alone, means over seeds. Windows are of {heldout}.

{assets}
"""

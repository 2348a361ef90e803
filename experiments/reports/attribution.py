"""The chapter that says who and what moved a population's market."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as RichTable

from evobourse.evolve.run_folder import RunFolder, read_json
from evobourse.experiments.reports.figures import new_figure
from evobourse.experiments.reports.intervals import write_interval
from evobourse.experiments.reports.page import Bar, Picture, Section, Table
from evobourse.experiments.reports.scores import SPLITS
from evobourse.fitness.moments import MOMENT_LABELS

Worth = Mapping[str, Any]
"""What `experiments.simulate.attribution.Worth` becomes in JSON."""

MOST_GENES = 20


def read_attribution(run: RunFolder, digest: str) -> dict[str, Any] | None:
    """Read what was found of a run's bundle, by the digest of its reference; None of another's."""
    found = read_json(run.attribution)
    return found if isinstance(found, dict) and found.get("of") == digest else None


def attribution_section(found: Mapping[str, Any]) -> Section:
    """Show what each persona and gene is worth, from what ``evobourse attribution`` has written."""
    personas = sorted(found["personas"], key=lambda p: -_mean(p["mind"]))
    genes = sorted(found["genes"], key=lambda g: -abs(_mean(g["worth"])))
    worths = [w for p in personas for w in (p["mind"], p["left_out"]) if w is not None]
    place = _scale(worths)
    cells: list[list[str | Bar]] = [
        [
            p["name"],
            f"{p['share']:.1%}",
            show_worth(p["mind"]),
            _bar(p["mind"], place),
            show_worth(p["left_out"]),
            _bar(p["left_out"], place),
        ]
        for p in personas
    ]
    headings = ["persona", "#share", "#its mind [95 %]", "", "#left out [95 %]", ""]
    blocks: list[Table | Picture] = [
        _moments_picture(found["bands"], personas),
        Table(headings, cells, _rows(personas, ("mind", "left_out")), "persona_worths"),
    ]
    if genes:
        place = _scale([g["worth"] for g in genes])
        cells = [
            [
                g["name"],
                _number(g["value"]),
                _number(g["start"]),
                show_worth(g["worth"]),
                _bar(g["worth"], place),
            ]
            for g in genes[:MOST_GENES]
        ]
        headings = ["gene", "#champion", "#un-evolved", "#worth [95 %]", ""]
        blocks.append(Table(headings, cells, _rows(genes, ("worth",)), "gene_worths"))
    return Section("movers", "Who moved the market", tell_attribution(found), blocks)


def tell_attribution(found: Mapping[str, Any]) -> list[str]:
    """Say in sentences what was played, what the columns mean, and who stands out."""
    personas, genes = found["personas"], found["genes"]
    years = SPLITS[found["split"]].lower()
    played = (
        f"{found['paths']} paths of {found['agents']:,} agents and {found['days']:,} days on "
        f"{years} windows of {found['asset']}, {found['markets']:,} markets in all"
    )
    scores = [
        "degenerate" if found[key] is None else f"{found[key]:.2f}" for key in ("score", "dice")
    ]
    drawn = f" {2 * found['pairs']} of" if found["pairs"] else ""
    said = [
        f"J/J95 is {scores[0]}, and {scores[1]} with dice for all minds ({played}).",
        f"Minds: {_stand_out([(p['name'], p['mind']) for p in personas])} A mind's worth is its "
        "Shapley value: what it takes off log J/J95 in the place of dice, averaged over"
        f"{drawn or ' all'} the orders in which minds may come; +0.10 is about 10 %.",
    ]
    if (minds := found.get("minds", 0)) > len(personas):
        said.append(f"The {minds} minds are taken together by the style that leads each mixture.")
    if errors := [p["mind"]["error"] for p in personas if p["mind"]["error"]]:
        said.append(f"Drawing orders adds a standard error of up to {max(errors):.2f}.")
    left = [(p["name"], p["left_out"]) for p in personas if p["left_out"] is not None]
    if left:
        said.append(f"Personas left out, their agents going to the others: {_stand_out(left)}")
    if genes:
        shown = f", the largest {MOST_GENES} shown" if len(genes) > MOST_GENES else ""
        said.append(
            f"Genes put back to their un-evolved values, one at a time{shown}: "
            + _stand_out([(g["name"], g["worth"]) for g in genes])
        )
    return said


def _stand_out(worths: Sequence[tuple[str, Worth]]) -> str:
    """Name those whose interval leaves out 0, and say how many do by chance."""
    known = sorted(
        ((name, w["log_ratio"]) for name, w in worths if w["log_ratio"][0] is not None),
        key=lambda item: -item[1][0],
    )
    better = [f"{name} ({mean:+.2f})" for name, (mean, low, _) in known if low > 0]
    worse = [f"{name} ({mean:+.2f})" for name, (mean, _, high) in reversed(known) if high < 0]
    parts = [
        f"{word} for {', '.join(names)}"
        for word, names in (("closer", better), ("farther off", worse))
        if names
    ]
    if not parts:
        return f"none of {len(known)} is told from 0."
    return (
        f"the market is {'; '.join(parts)}. {len(better) + len(worse)} of {len(known)} are told "
        f"from 0; by chance about {0.05 * len(known):.1f} would be."
    )


def show_worth(worth: Worth | None) -> str:
    """Write what it takes off log J/J95, with its interval."""
    if worth is None or worth["log_ratio"][0] is None:
        return "-"
    mean, low, high = worth["log_ratio"]
    return write_interval((mean, low, high), 2, "+")


def _mean(worth: Worth) -> float:
    mean = worth["log_ratio"][0]
    return 0.0 if mean is None else float(mean)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _scale(worths: Sequence[Worth]) -> float:
    """Return the largest distance from 0 that a table's bars show."""
    ends = [abs(end) for w in worths for end in w["log_ratio"] if end is not None]
    return float(max([*ends, 1e-9]))


def _bar(worth: Worth | None, reach: float) -> str | Bar:
    """Draw an interval; the grey line is 0."""
    if worth is None or worth["log_ratio"][0] is None:
        return ""
    at, low, high = (0.5 + 0.5 * value / reach for value in worth["log_ratio"])
    return Bar(at, low, high, (0.495, 0.505))


def _moments_picture(bands: Mapping[str, float], personas: Sequence[Mapping[str, Any]]) -> Picture:
    """Draw what each mind adds to each moment, in widths of the real windows' bands."""
    names = list(bands)
    cells = [[p["mind"]["moments"][name] for name in names] for p in personas]
    means = np.array([[np.nan if mean is None else mean for mean, _, _ in row] for row in cells])
    shown = means / np.array([bands[name] for name in names])
    told = np.array(
        [[low is not None and not low <= 0 <= high for _, low, high in row] for row in cells]
    )
    with mpl.rc_context({"font.size": 9.5}):
        figure = new_figure(10.0, 1.9 + 0.34 * len(personas))
        ax = figure.add_subplot()
        image = ax.imshow(shown, cmap="PuOr_r", vmin=-1.0, vmax=1.0, aspect="auto")
        ax.set_yticks(range(len(personas)), [p["name"] for p in personas])
        labels = [MOMENT_LABELS[name].replace(", ", ",\n", 1) for name in names]
        ax.set_xticks(range(len(names)), labels, rotation=45, ha="right")
        for row, column in zip(*np.nonzero(told), strict=True):
            light = abs(shown[row, column]) < 0.6
            ax.text(
                column, row, f"{shown[row, column]:+.2f}", ha="center", va="center",
                color="black" if light else "white", fontsize=8,
            )  # fmt: skip
        figure.colorbar(image, label="real 95 % bands", extend="both")
    first = names[int(np.unravel_index(np.nanargmax(np.abs(np.nan_to_num(shown))), shown.shape)[1])]
    alt = (
        "What each mind adds to each moment, in widths of the middle 95 % of real windows; numbers "
        f"stand where an interval leaves out 0. The largest is on {MOMENT_LABELS[first]}."
    )
    title = "What each mind adds to the market's moments"
    return Picture.of(figure, title, alt, _moment_rows(personas), "mind_moments", wide=True)


def _moment_rows(personas: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            (p["name"], moment, *interval)
            for p in personas
            for moment, interval in p["mind"]["moments"].items()
        ],
        columns=["persona", "moment", "added", "low", "high"],
    )


def _rows(items: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> pd.DataFrame:
    """List each item's worths, on the score and on every moment."""
    rows = []
    for item in items:
        for key in keys:
            if item[key] is not None:
                score = {"log J/J95": item[key]["log_ratio"]}
                for measure, interval in {**score, **item[key]["moments"]}.items():
                    rows.append((item["name"], key, measure, *interval))
    return pd.DataFrame(rows, columns=["name", "worth_of", "measure", "mean", "low", "high"])


def print_attribution(found: Mapping[str, Any], console: Console) -> None:
    """Print personas and genes as tables of 80 columns, and what they come to."""
    people = RichTable("persona", "share", "its mind [95 %]", "left out [95 %]", box=SIMPLE_HEAD)
    for p in sorted(found["personas"], key=lambda p: -_mean(p["mind"])):
        people.add_row(
            p["name"], f"{p['share']:.1%}", show_worth(p["mind"]), show_worth(p["left_out"])
        )
    console.print(people)
    if found["genes"]:
        genes = RichTable("gene", "champion", "un-evolved", "worth [95 %]", box=SIMPLE_HEAD)
        for g in sorted(found["genes"], key=lambda g: -abs(_mean(g["worth"])))[:MOST_GENES]:
            genes.add_row(
                g["name"], _number(g["value"]), _number(g["start"]), show_worth(g["worth"])
            )
        console.print(genes)
    for sentence in tell_attribution(found):
        console.print(sentence, highlight=False)

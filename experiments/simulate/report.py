"""A bundle, or a simulation's tape, as one HTML page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd

from evobourse.agents.observation import decode_view, possible_views, view_words
from evobourse.evolve.bundle import Bundle, load_bundle
from evobourse.evolve.run_folder import RunFolder
from evobourse.experiments.reports.attribution import attribution_section, read_attribution
from evobourse.experiments.reports.figures import new_figure, plain_axes
from evobourse.experiments.reports.page import Picture, Section, Table, Text, render_report
from evobourse.experiments.reports.query import open_tables
from evobourse.experiments.reports.sections import (
    MOST_SHOWN,
    population_section,
    scoreboard_section,
    tell_shown,
)
from evobourse.experiments.scoring.daily import read_daily
from evobourse.experiments.scoring.sections import STYLE, fact_table
from evobourse.experiments.scoring.series import score_series
from evobourse.experiments.simulate.bundle import open_population
from evobourse.fitness.palette import MUTED, SIMULATED
from evobourse.market.tape.movers import NOBODY, find_movers

WIDE = (10.0, 4.6)
MOST_MOVES = 10
MOST_EVENTS = 200


def render_bundle(folder: Path) -> str:
    """Write a bundle's page: what it scored, who is in it, what their minds choose.

    Raises
    ------
    evolve.errors.RunError
        It is malformed.
    """
    bundle = load_bundle(folder)
    styles = [path.name for path in bundle.adapters]
    board = json.loads((folder / "scoreboard.json").read_text())
    sections = [scoreboard_section(board)] if board else []
    if bundle.answers is not None:
        sections.append(_choices_section(folder, bundle))
    sections.append(population_section(bundle.population, styles))
    found = read_attribution(RunFolder(folder.resolve().parent), bundle.reference.digest)
    if found is not None:
        sections.append(attribution_section(found))
    settings = [Text("simulator.yaml", (folder / "simulator.yaml").read_text())]
    if bundle.recipe is not None:
        settings.append(Text("recipe.yaml, as mergekit takes it", _read(folder / "recipe.yaml")))
    base = f"Base {bundle.base}, weights {bundle.base_hash[:12]}"
    merged = "" if bundle.recipe is None else f", merged with {', '.join(bundle.recipe.sources)}"
    made = bundle.reference
    sections.append(Section("settings", "Settings", [f"{base}{merged}."], settings))
    people = bundle.population.personas
    return render_report(
        bundle.name,
        [
            f"A population of {len(people)} personas on {len(styles)} styles.",
            f"At its export {made.agents:,} agents traded {made.days:,} days with seed "
            f"{made.seed}; the tape's digest begins with {made.digest[:12]}.",
        ],
        sections,
    )


def _read(file: Path) -> str:
    return file.read_text() if file.is_file() else "none"


def _choices_section(folder: Path, bundle: Bundle) -> Section:
    """Draw each persona's mean choice in view of one sign alone."""
    views = possible_views(bundle.population.society.attention)
    seen = (decode_view(views) >= 0).sum(axis=1)
    rows = np.flatnonzero(seen <= 1)
    choices = open_population(folder).choices()
    assert isinstance(choices, np.ndarray)  # words: answers are stored of no others
    tendency = np.diff(choices[:, rows], axis=2, prepend=0.0) @ np.arange(-2.0, 3.0)
    people = bundle.population.personas
    largest = np.argsort([-p.share for p in people], kind="stable")
    names = [people[at].name for at in largest]
    tendency, shown = tendency[largest], slice(MOST_SHOWN)
    signs = [" ".join(view_words(int(view))) or "nothing" for view in views[rows]]
    limit = max(float(np.abs(tendency).max()), 1e-9)
    with mpl.rc_context(STYLE):
        figure = new_figure(WIDE[0], 1.6 + 0.32 * len(names[shown]))
        ax = figure.add_subplot()
        image = ax.imshow(tendency[shown], cmap="RdBu", vmin=-limit, vmax=limit, aspect="auto")
        ax.set_yticks(range(len(names[shown])), names[shown])
        ax.set_xticks(range(len(signs)), signs, rotation=60, ha="right")
        figure.colorbar(image, label="mean choice")
    data = pd.DataFrame(tendency, columns=signs)
    data.insert(0, "persona", names)
    picture = Picture.of(
        figure, "What minds choose", "Mean choice by persona and sign.", data, "choices", wide=True
    )
    return Section(
        "choices",
        "Choices",
        [
            "What a persona's mind chooses in the mean where it sees one sign alone, from strong "
            "sell (-2) to strong buy (2).",
            *tell_shown(len(names)),
        ],
        [picture],
    )


def render_simulation(folder: Path, against: str = "sp500") -> str:
    """Write the page of a simulation: prices, who chose what, events, facts beside a real series.

    Parameters
    ----------
    folder
        A tape's.
    against
        The real series: a file, or a name.

    Raises
    ------
    ConfigError, market.errors.MarketError
        The folder holds no tape, or the real series cannot be read.
    """
    tables, views = open_tables(folder)
    prices = tables.sql("select * from prices order by day").df()
    if "asset" not in prices:
        prices["asset"] = 0
    events = pd.DataFrame({"day": []})
    if "events" in views:
        events = tables.sql("select * from events").df()
    sections = [_prices_section(folder, prices, events["day"], views)]
    if "decisions" in views:
        columns = {str(name) for name in tables.sql("describe decisions").df()["column_name"]}
        if {"persona", "tendency", "agent"} <= columns:
            sections.append(_who_section(tables))
            if "orders" in views:
                sections.append(_movers_section(folder))
    first = prices[prices["asset"] == 0]
    sections.append(_against_section(folder, against))
    if len(events):
        sections.append(_events_section(events))
    closes = first["close_ticks"].to_numpy()
    moves = np.diff(np.log(closes))
    said = [
        f"{len(first):,} days: from {closes[0] / 100:.2f} at the first close to "
        f"{closes[-1] / 100:.2f}"
        + (f", daily volatility {100 * moves.std():.2f} %." if len(moves) else "."),
        f"{int(first['volume'].sum()):,} lots were traded.",
    ]
    return render_report(folder.resolve().name, said, sections)


def _prices_section(
    folder: Path, prices: pd.DataFrame, event_days: pd.Series[int], views: dict[str, str]
) -> Section:
    pictures = []
    for asset, own in prices.groupby("asset"):
        with mpl.rc_context(STYLE):
            figure = new_figure(*WIDE)
            above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
            above.fill_between(
                own["day"], own["low_ticks"] / 100, own["high_ticks"] / 100,
                color=SIMULATED, alpha=0.2, linewidth=0,
            )  # fmt: skip
            above.plot(own["day"], own["close_ticks"] / 100, color=SIMULATED, linewidth=1.3)
            below.bar(own["day"], own["volume"], width=1.0, color=MUTED)
            for day in event_days.unique():
                above.axvline(day, color=MUTED, linewidth=0.9, linestyle=":")
            above.set(ylabel="close, from low to high")
            below.set(xlabel="day", ylabel="lots")
            plain_axes(above, below)
        title = "Prices and volume" if prices["asset"].nunique() == 1 else f"Asset {asset}"
        alt = f"Close of {len(own)} days over the lots traded; dotted lines are days of events."
        pictures.append(Picture.of(figure, title, alt, own, f"prices_{asset}", wide=True))
    told = f"The tape's tables: {', '.join(views)}; evobourse query {folder} reads them by SQL."
    return Section("prices", "Prices", [told], pictures)


def _who_section(tables: Any) -> Section:
    """Count what each persona's agents chose."""
    data = tables.sql(
        "select persona, count(distinct agent) as agents, count(*) as decisions, "
        "avg(tendency) as tendency, avg((tendency > 0)::double) as buys, "
        "avg((tendency < 0)::double) as sells from decisions group by persona order by persona"
    ).df()
    shown = data.nlargest(MOST_SHOWN, "decisions").sort_values("persona")
    cells: list[list[str | Any]] = [
        [
            f"persona {row['persona']}",
            f"{row['agents']:,}",
            f"{row['decisions']:,}",
            f"{row['tendency']:+.3f}",
            f"{row['buys']:.0%}",
            f"{row['sells']:.0%}",
        ]
        for row in shown.to_dict("records")
    ]
    headings = ["persona", "#agents ever", "#decisions", "#mean choice", "#buys", "#sells"]
    return Section(
        "personas",
        "Who chose what",
        [
            "Personas are numbered as in the bundle's personas.yaml, from 0. A choice is from "
            "strong sell (-2) to strong buy (2).",
            *tell_shown(len(data)),
        ],
        [Table(headings, cells, data, "choices")],
    )


def _movers_section(folder: Path) -> Section:
    """Show without whose orders the largest moves would have been which."""
    movers = find_movers(folder)
    largest = movers.groupby("day")["log_move"].first().abs().nlargest(MOST_MOVES).index
    cells: list[list[str | Any]] = []
    for day in largest:
        today = movers[movers["day"] == day]
        move = float(today["log_move"].iloc[0])
        # with the move first; against it last
        ranked = today.iloc[np.argsort(-np.sign(move) * today["log_effect"].to_numpy())]
        first, last = ranked.iloc[0], ranked.iloc[-1]
        cells.append([f"{day}", f"{np.expm1(move):+.2%}", *_moved(first), *_moved(last)])
    beside = "; - are all others" if (movers["group"] == NOBODY).any() else ""
    headings = ["#day", "#move", "most with it", "#lots", "#effect", "least", "#lots", "#effect"]
    return Section(
        "movers",
        "Who moved the market",
        [
            "The largest moves of a day's close. Effect: the close over what the day's orders come "
            "to without the persona's, all others as they were sent. Lots: bid less offered.",
            f"Personas are numbered as in the bundle's personas.yaml, from 0{beside}. Effects need "
            "not add up to the move: two personas may each have been enough for it.",
        ],
        [Table(headings, cells, movers, "movers")],
    )


def _moved(row: pd.Series) -> list[str]:
    who = "-" if row["group"] == NOBODY else f"persona {row['group']:.0f}"
    return [who, f"{row['net_lots']:+,.0f}", f"{np.expm1(row['log_effect']):+.2%}"]


def _against_section(folder: Path, against: str) -> Section:
    """Score the first asset, where there is something to score."""
    score = score_series(read_daily(folder), read_daily(against))
    if score.score.verdict != "ok":
        said = f"Not scored against {score.real.name}: {score.score.verdict}."
        return Section("facts", "Facts of real markets", [said])
    with mpl.rc_context(STYLE):
        figure = new_figure(WIDE[0], 5.4)
        score.plot(figure.add_subplot())
    each = pd.DataFrame([vars(row) for row in score.moments])
    return Section(
        "facts",
        "Facts of real markets",
        [
            f"Against {score.real.name}, {score.target.window_days} days a window: J/J95 "
            f"{score.ratio:.2f}, {score.conclusion}.",
            *score.notes,
        ],
        [
            Picture.of(
                figure, "Scored moments", "Moments beside real ones.", each, "moments", True
            ),
            fact_table(score.facts, "simulated"),
        ],
    )


def _events_section(events: pd.DataFrame) -> Section:
    cells: list[list[str | Any]] = [
        [str(row["day"]), row["kind"].replace("_", " "), _tell(row["detail"])]
        for row in events.head(MOST_EVENTS).to_dict("records")
    ]
    said = f"{len(events):,} events" + (
        f"; the first {MOST_EVENTS} are shown." if len(events) > MOST_EVENTS else "."
    )
    table = Table(["#day", "kind", "what"], cells, events, "events")
    return Section("events", "Events", [said], [table])


def _tell(detail: str) -> str:
    """Say what there is about an event; of lists, how long they are."""
    values = {key: value for key, value in json.loads(detail).items() if value not in ("", None)}
    text, rest = values.pop("text", ""), []
    for key, value in values.items():
        shown = len(value) if isinstance(value, list) else value
        if isinstance(value, bool):
            shown = "yes" if value else "no"
        rest.append(f"{key.replace('_', ' ')}: {shown}")
    return " ".join(part for part in (text, f"({', '.join(rest)})" if rest else "") if part)

"""Commands about prices alone: what is typed and what is printed."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated, Literal

import typer

from evobourse.experiments.cli.options import (
    Json,
    make_console,
    news_console,
    print_next_steps,
)

StockSplits = Annotated[
    Literal["refuse", "adjust", "accept"],
    typer.Option(help="What to do about prices that look unadjusted for a stock split."),
]
SuspendedDays = Annotated[
    Literal["refuse", "keep", "drop"],
    typer.Option(help="What to do about days on which nothing was traded."),
]


def score(
    series: Annotated[
        str,
        typer.Argument(
            help="CSV or Parquet with date and close, a tape, a name; a folder of them, or a table "
            "with a column path, for many paths."
        ),
    ],
    against: Annotated[
        str,
        typer.Option(
            help="The real series: a file or sp500, nasdaq, wti, vix, aapl, fb, goog, ibm, msft."
        ),
    ] = "sp500",
    window_days: Annotated[
        int | None, typer.Option(help="Days in a window; default 250, or all if fewer.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(metavar="FROM:TO", help="Real days, ISO; default all.")
    ] = None,
    stock_splits: StockSplits = "refuse",
    suspended_days: SuspendedDays = "refuse",
    seed: Annotated[
        int, typer.Option(help="Of real years redrawn and of random walks.", min=0)
    ] = 0,
    tried: Annotated[int, typer.Option(help="Configurations that this is the best of.", min=1)] = 1,
    picture: Annotated[Path | None, typer.Option(help="PNG file: the page of all facts.")] = None,
    as_json: Json = False,
) -> None:
    """Hold a price series, a simulated tape or many paths against a real market.

    Example: evobourse score prices.csv --against sp500 --window-days 250 --picture facts.png
    """
    from evobourse.experiments.scoring.daily import read_daily
    from evobourse.experiments.scoring.series import score_series
    from evobourse.experiments.scoring.table import print_score

    scored = read_daily(series, None, stock_splits, suspended_days)
    real = read_daily(against, split, stock_splits, suspended_days)
    result = score_series(scored, real, window_days, seed, tried)
    if picture is not None:
        from evobourse.evolve.durable import replace_bytes
        from evobourse.experiments.reports.figures import figure_bytes
        from evobourse.experiments.scoring.page import draw_score

        replace_bytes(picture, figure_bytes(draw_score(result)))
    if as_json:
        typer.echo(json.dumps(result.as_json()))
        return
    console = make_console()
    print_score(result, console)
    cut = f" --split {split}" if split else ""
    cut += f" --stock-splits {stock_splits}" if stock_splits != "refuse" else ""
    cut += f" --suspended-days {suspended_days}" if suspended_days != "refuse" else ""
    again = f"evobourse score {shlex.quote(series)} --against {shlex.quote(against)}{cut}"
    again += f" --window-days {result.target.window_days} --seed {seed}"
    shown = f"{again} --picture facts.png"
    drawn = ("drawn", str(picture)) if picture else ("picture", shown)
    print_next_steps(console, [drawn, ("as data", f"{again} --json")])


def baselines(
    series: Annotated[
        list[str] | None, typer.Argument(help="Real series, names or files; default sp500 nasdaq.")
    ] = None,
    window_days: Annotated[int, typer.Option(help="Days in a path.", min=30)] = 1000,
    paths: Annotated[int, typer.Option(help="Paths in one score.", min=1)] = 4,
    groups: Annotated[int, typer.Option(help="Scores of each law.", min=2)] = 50,
    seed: Annotated[int, typer.Option(help="Of every draw.", min=0)] = 0,
    out: Annotated[Path, typer.Option(help="Markdown page to write.")] = Path("baselines.md"),
    as_json: Json = False,
) -> None:
    """Score every law without agents on real series, in sample and held out.

    Example: evobourse baselines sp500 nasdaq --out docs/baselines.md
    """
    from rich.progress import Progress

    from evobourse.evolve.durable import replace_bytes
    from evobourse.experiments.scoring.baselines import (
        SPLITS,
        Budget,
        baseline_rows,
        print_rows,
        render,
    )
    from evobourse.fitness.baselines.laws import LAW_NAMES
    from evobourse.market.series.named import load_series

    console = make_console(quiet=as_json)
    names = series or ["sp500", "nasdaq"]
    assets = [load_series(name, close_only=True) for name in names]
    budget = Budget(window_days, paths, groups)
    with Progress(console=news_console(as_json), transient=True) as bar:
        task = bar.add_task("scoring", total=len(assets) * len(SPLITS) * len(LAW_NAMES))
        rows = baseline_rows(assets, budget, seed, lambda: bar.advance(task))
    spans = [f"{asset.name}, {asset.dates[0]} to {asset.dates[-1]}" for asset in assets]
    size = f"--window-days {window_days} --paths {paths} --groups {groups} --seed {seed}"
    command = f"evobourse baselines {' '.join(names)} {size} --out {out}"
    page = render(rows, spans, budget, command)
    replace_bytes(out, page.encode())
    if as_json:
        typer.echo(json.dumps([row.as_json() for row in rows]))
        return
    print_rows(rows, console)
    print_next_steps(console, [("page", str(out))])


def to_daily(
    prices: Annotated[Path, typer.Argument(help="CSV or Parquet with bars within the day.")],
    out: Annotated[Path, typer.Argument(help="CSV or Parquet to write.")],
    zone: Annotated[
        str | None,
        typer.Option(help="The exchange's zone, such as Asia/Tokyo: whose days are meant."),
    ] = None,
    stock_splits: StockSplits = "refuse",
    suspended_days: SuspendedDays = "refuse",
    as_json: Json = False,
) -> None:
    """Write a price file as plain daily bars: days made of minutes, in the exchange's zone.

    Days themselves may be given too: their dates are put right and the policies applied.
    With --zone, stamps without a zone are taken as UTC.

    Example: evobourse to-daily minutes.csv daily.csv --zone America/New_York
    """
    from evobourse.market.series.daily import make_daily, write_prices

    series = make_daily(prices, zone, stock_splits, suspended_days)
    write_prices(series, out)
    first, last = str(series.dates[0]), str(series.dates[-1])
    if as_json:
        found = {"prices": str(out), "days": len(series), "first_day": first, "last_day": last}
        typer.echo(json.dumps(found))
        return
    console = make_console()
    span = f"{len(series)} days, {first} to {last}"
    print_next_steps(
        console,
        [
            ("made", span),
            ("prices", str(out)),
            ("score", f"evobourse score {shlex.quote(str(out))} --against sp500"),
        ],
    )

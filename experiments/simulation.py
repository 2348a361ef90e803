"""Simulating a bundle: open it, let its population trade, write the tape and a picture.

Knows how a bundle becomes a market. Deliberately knows nothing of sweeps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from agents.crowd import tabulate_choices
from evolve.bases import Bases
from evolve.bundle import Bundle, load_bundle
from evolve.durable import replace_bytes
from evolve.errors import RunError
from evolve.stage import World, play_market
from experiments.cast import Cast
from experiments.cast_market import asset_history, open_cast_bases, run_cast
from experiments.deliberation import open_thinker
from experiments.report import figure_bytes
from experiments.scenario import Scenario, run_scenario
from market.recorded_tape import RecordedTape


def open_bundle(folder: Path) -> tuple[Bundle, Bases]:
    """Load a bundle and its models.

    Raises
    ------
    RunError
        The bundle is malformed, or its base is not the one that it was exported with.
    """
    bundle = load_bundle(folder)
    bases = bundle.open_bases()
    check_base(folder, bundle, bases)
    return bundle, bases


def check_base(folder: Path, bundle: Bundle, bases: Bases) -> None:
    """Refuse a bundle whose base is not the one that it was exported with."""
    if bases.base_hash != bundle.base_hash:
        raise RunError(
            f"bundle {folder}: base {bundle.base!r} has other weights than at the export; "
            "use the model that it was exported with"
        )


def simulate_bundle(
    folder: Path,
    agents: int,
    days: int,
    seed: int,
    out: Path,
    on_day: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Simulate a bundle's population.

    Parameters
    ----------
    folder
        The bundle.
    agents, days, seed
        Size and seed of the simulation.
    out
        Folder for the tape's Parquet tables and ``prices.png``.
    on_day
        Called with each day simulated.

    Returns
    -------
    dict
        First and last close, daily volatility, decisions, forward passes, the tape's digest,
        and ``reference``: whether the tape equals the one made at export, None if the
        settings differ from that one's.
    """
    bundle, bases = open_bundle(folder)
    minds = bases.serve(bundle.recipe)
    [choices] = tabulate_choices([bundle.population], minds)
    world = World(bundle.offsets, bundle.rules, agents, days)
    part = (bundle.population, bundle.history, seed)
    tape = play_market(world, part, choices, "full", on_day)
    out.mkdir(parents=True, exist_ok=True)
    tape.write(out)
    closes = np.concatenate([bundle.history[-1:], tape.close_ticks])
    replace_bytes(out / "prices.png", figure_bytes(_draw(closes, tape.volume, bundle)))
    made = bundle.reference
    same = (made.agents, made.days, made.seed) == (agents, days, seed)
    return {
        "first_close": int(tape.initial_close_ticks) / 100,
        "last_close": int(tape.close_ticks[-1]) / 100,
        "volatility": float(np.std(tape.log_returns())),
        "decisions": agents * days,
        "forward_passes": minds.counters.computed,
        "digest": tape.digest(),
        "reference": tape.digest() == made.digest if same else None,
        "out": str(out),
    }


def simulate_scenario(
    folder: Path,
    scenario: Scenario,
    agents: int,
    days: int,
    seed: int,
    out: Path,
    on_day: Callable[[int], None] | None = None,
    on_stage: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Put a bundle's population into a scenario.

    Parameters
    ----------
    folder, agents, days, seed, on_day
        As for `simulate_bundle`.
    scenario
        See `experiments.scenario`.
    out
        Folder for the recorded tape and ``prices.png``.
    on_stage
        Called with each stage of a deliberate turn.

    Returns
    -------
    dict
        First and last close, daily volatility, decisions, forward passes, trades, volume, events
        applied, and the tape's digest; of a deliberate market ``tokens`` as well: of prompts,
        computed of them, generated.
    """
    bundle, bases = open_bundle(folder)
    minds = bases.serve(bundle.recipe)
    asked = agents * days
    if scenario.deliberation is None:
        [choices] = tabulate_choices([bundle.population], minds)
        tape = run_scenario(scenario, bundle, choices, agents, days, seed, out, on_day, minds=minds)
        return _summary(tape, bundle, asked, minds.counters.computed, out)
    thinker = open_thinker(scenario.deliberation, bundle, minds, on_stage)
    none = np.empty((0, 0, 5))
    tape = run_scenario(scenario, bundle, none, agents, days, seed, out, on_day, thinker=thinker)
    asked *= len(scenario.turns)
    found = _summary(tape, bundle, asked, minds.counters.computed, out)
    return found | {"tokens": thinker.tokens()}


def simulate_cast(
    folder: Path,
    scenario: Scenario,
    cast: Cast,
    days: int,
    seed: int,
    out: Path,
    on_day: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Put a cast into a scenario, with a bundle's styles, society and history.

    Parameters
    ----------
    folder, scenario, days, seed, out, on_day
        As for `simulate_scenario`.
    cast
        See `experiments.cast`.

    Returns
    -------
    dict
        As of `simulate_scenario`, prices and volume of the first asset.
    """
    bundle = load_bundle(folder)
    bases = open_cast_bases(bundle, cast)
    check_base(folder, bundle, bases)
    minds = bases.serve(bundle.recipe)
    tape = run_cast(scenario, cast, bundle, minds, days, seed, out, on_day)
    deciding = sum(member.count for member in cast.members if member.kind != "rule")
    bundle = replace(bundle, history=asset_history(cast.assets[0], bundle))
    return _summary(tape, bundle, deciding * days, minds.counters.computed, out)


def _summary(
    tape: RecordedTape, bundle: Bundle, decisions: int, passes: int, out: Path
) -> dict[str, Any]:
    """Draw the first asset's prices, and say what came of a recorded market."""
    prices, events = tape.frame("prices").query("asset == 0"), tape.frame("events")
    closes = np.concatenate([bundle.history[-1:], prices["close_ticks"]])
    figure = _draw(closes, prices["volume"].to_numpy(), bundle, events)
    replace_bytes(out / "prices.png", figure_bytes(figure))
    return {
        "first_close": int(closes[0]) / 100,
        "last_close": int(closes[-1]) / 100,
        "volatility": float(np.std(np.diff(np.log(closes)))),
        "decisions": decisions,
        "forward_passes": passes,
        "trades": int(prices["trades"].sum()),
        "volume": int(prices["volume"].sum()),
        "events": len(events),
        "digest": tape.manifest.digest,
        "out": str(out),
    }


def _draw(
    closes_ticks: NDArray[np.int64],
    volumes: NDArray[np.int64],
    bundle: Bundle,
    events: pd.DataFrame | None = None,
) -> Any:
    """Draw closes int64[T + 1] after a bundle's history, volumes int64[T], and events' days."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 6), dpi=110, layout="constrained")
    price, volume = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    past = bundle.history[-len(volumes) :]
    price.plot(np.arange(-len(past) + 1, 1), past / 100, color="#444444", lw=1.2, label="history")
    closes = closes_ticks / 100
    price.plot(np.arange(len(closes)), closes, color="#c2410c", lw=1.4, label="simulated")
    price.set(ylabel="close (history ends at 100)", title=f"{bundle.name}: the population trades")
    if events is not None:
        for row, (day, kinds) in enumerate(events.groupby("day")["kind"]):
            price.axvline(day + 1, color="#64748b", lw=0.8, ls=":")
            price.annotate(
                ", ".join(kind.replace("_", " ") for kind in dict.fromkeys(kinds)),
                (day + 1, 0.02 + 0.3 * (row % 2)),
                xycoords=price.get_xaxis_transform(),
                rotation=90,
                fontsize=8,
                color="#64748b",
                ha="right",
            )
    price.legend(frameon=False)
    volume.bar(np.arange(1, len(closes)), volumes, width=1.0, color="#c2410c", alpha=0.6)
    volume.set(ylabel="volume (shares)", xlabel="day (0: the simulation begins)")
    for axes in (price, volume):
        axes.spines[["top", "right"]].set_visible(False)
    return figure

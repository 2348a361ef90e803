"""The plan as a screen and as JSON: what a base and its minds take on a chip, and how fast."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from evobourse.experiments.planner.chips import Chip
from evobourse.experiments.planner.rates import find_rates
from evobourse.experiments.planner.request import Request
from evobourse.experiments.planner.roofline import (
    EFFICIENCY,
    Load,
    fitting_minds,
    fitting_rows,
    memo_bytes,
    memory_parts,
    paper_rate,
    questions_seconds,
)
from evobourse.experiments.planner.shapes import ModelShape
from evobourse.experiments.sweep.cost import plan_config


def make_plan(request: Request) -> dict[str, Any]:
    """Put a plan together.

    Returns
    -------
    dict
        JSON-ready; bytes, seconds and rates in SI units without prefix.
    """
    shape, load, chip, config = request.shape, request.load, request.chip, request.config
    rates = find_rates(config, None if request.here else chip, shape, load)
    places = [_place(shape, load, part) for part in (chip, *chip.cut())]
    rows = places[0]["batch_rows"]
    if rows:
        places[0]["questions_per_second"] = 1 / rates.answer_s
    whole_prompt = load.shared_tokens + load.private_tokens
    agents, days = config.market.agents, config.market.days
    plan: dict[str, Any] = {
        "base": {**asdict(shape), "parameters": shape.parameters},
        "load": asdict(load),
        "chip": {k: v for k, v in asdict(chip).items() if k not in ("slices", "processors")},
        "memory": memory_parts(shape, load, rows),
        "memo": memo_bytes(load),
        "places": places,
        "paper": {
            "shared_prefix": paper_rate(chip, shape.parameters, load.private_tokens),
            "whole_prompts": paper_rate(chip, shape.parameters, whole_prompt),
        },
        "efficiency": EFFICIENCY,
        "rates": asdict(rates),
        "market": {"agents": agents, "days": days, "decisions": agents * days},
    }
    if rows:
        ask_s = load.minds * load.views * rates.answer_s
        plan["market"]["decisions_per_second"] = (
            agents * days / (ask_s + agents * days * rates.decision_s)
        )
        sweep = plan_config(config, rates)
        # typed minds and views, which need not be the config's
        sweep = replace(sweep, pace=replace(sweep.pace, ask_s=ask_s))
        work, pace = sweep.total, sweep.pace
        hours = {
            "merging": work.casts * pace.merge_s / 3600,
            "answering": (work.casts + work.probes) * ask_s / 3600,
            "trading": pace.trade_s(work) / 3600,
            "judging without agents": pace.baselines_s * work.baselines / 3600,
            "loading": pace.load_s / 3600,
        }
        plan["sweep"] = {
            "mind_sets": work.casts + work.probes,
            "decisions": work.markets * agents * days,
            "hours": {**hours, "total": sweep.seconds / 3600},
        }
    return plan


def print_plan(plan: dict[str, Any], console: Console) -> None:
    """Show a plan in the order in which one asks: does it fit, how fast, how long."""
    base, load, chip = plan["base"], plan["load"], plan["chip"]
    console.print(
        f"[bold]{base['name']}[/] on [bold]{chip['name']}[/]: {base['parameters'] / 1e9:.2f} "
        f"billion parameters, {load['minds']:,} minds x {load['views']:,} views, prompts of "
        f"{load['shared_tokens']} shared + {load['private_tokens']} private tokens",
        highlight=False,
    )
    console.print(f"[dim]shape: {base['source']}; chip: {chip['source']}[/]", highlight=False)
    console.print()
    console.print(_memory_table(plan))
    console.print()
    console.print(_places_table(plan))
    console.print()
    console.print(_speed_table(plan))
    console.print(
        f"[dim]expected: {plan['rates']['source']}; a roofline counts x {plan['efficiency']:g}, "
        "which was measured with SmolLM2-135M on a processor; minds: how many have their keys and "
        "values on the chip at once, more are computed again when their turn comes[/]",
        highlight=False,
    )


def _place(shape: ModelShape, load: Load, chip: Chip) -> dict[str, Any]:
    rows = fitting_rows(shape, load, chip.memory)
    place: dict[str, Any] = {
        "name": chip.name,
        "memory": chip.memory,
        "used": sum(memory_parts(shape, load, rows).values()),
        "batch_rows": rows,
        "minds": fitting_minds(shape, load, chip.memory, rows) if rows else 0,
        "questions_per_second": None,
    }
    if rows:
        seconds = questions_seconds(shape, load, chip, rows)
        place["questions_per_second"] = EFFICIENCY * load.minds * load.views / seconds
    return place


def _memory_table(plan: dict[str, Any]) -> Table:
    memory = plan["chip"]["memory"]
    total = sum(plan["memory"].values())
    table = _table("memory", "", "of the chip")
    for name, size in plan["memory"].items():
        table.add_row(name, _bytes(size), _bar(size / memory))
    table.add_section()
    table.add_row("[bold]together[/]", f"[bold]{_bytes(total)}[/]", _bar(total / memory))
    for name, size in plan["memo"].items():
        table.add_row(f"[dim]{name}[/]", f"[dim]{_bytes(size)}[/]", "[dim]not on the chip[/]")
    return table


def _places_table(plan: dict[str, Any]) -> Table:
    table = _table("where", "memory", "used", "batch", "minds", "answers/s")
    for place in plan["places"]:
        rate = place["questions_per_second"]
        fits = rate is not None
        table.add_row(
            place["name"],
            _bytes(place["memory"]),
            _bytes(place["used"]),
            f"{place['batch_rows']}" if fits else "[red]too small[/]",
            f"{place['minds']:,}" if fits else "",
            f"{rate:,.0f}" if fits else "",
        )
    return table


def _speed_table(plan: dict[str, Any]) -> Table:
    table = _table("speed", "", "")
    paper, market = plan["paper"], plan["market"]
    rate = plan["places"][0]["questions_per_second"]
    table.add_row("on paper, INT8, whole prompts", _rate(paper["whole_prompts"]), "")
    table.add_row("on paper, INT8, prefix shared", _rate(paper["shared_prefix"]), "")
    if rate is None:
        table.add_row("[red]the base does not fit on this chip[/]", "", "")
        return table
    table.add_row(
        "[bold]expected of this engine[/]",
        f"[bold]{_rate(rate)}[/]",
        "new answers",
    )
    table.add_row(
        f"a market, {market['agents']:,} agents, {market['days']} days",
        _rate(market["decisions_per_second"]),
        "decisions; each answer is computed once",
    )
    sweep, hours = plan["sweep"], plan["sweep"]["hours"]
    table.add_section()
    asked = f"{sweep['mind_sets']} sets of minds, {sweep['decisions']:,} decisions"
    table.add_row("[bold]a sweep[/]", f"[bold]{_hours(hours['total'])}[/]", asked)
    for name in hours:
        if name != "total" and hours[name]:
            table.add_row(f"  {name}", _hours(hours[name]), "")
    return table


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for n, column in enumerate(columns):
        words = n == 0 or (n == 2 and len(columns) == 3)
        table.add_column(column, justify="left" if words else "right", no_wrap=not words)
    return table


def _bar(share: float, width: int = 16) -> str:
    full = min(width, round(share * width))
    colour = "red" if share > 1 else "cyan"
    return f"[{colour}]{'█' * full}[/][dim]{'·' * (width - full)}[/] {100 * share:5.1f} %"


def _bytes(size: float) -> str:
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:,.1f} {unit}"
    return f"{size:.0f} B"


def _rate(rate: float) -> str:
    return f"{rate:,.0f} /s"


def _hours(hours: float) -> str:
    return f"{hours:,.1f} h" if hours >= 1 else f"{60 * hours:,.1f} min"

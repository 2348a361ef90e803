"""What a scoreboard comes to, in one sentence that is computed from its rows."""

from __future__ import annotations

import math
from collections.abc import Sequence

from evobourse.experiments.reports.scores import (
    CHAMPION,
    POOLED,
    REAL_TARGET,
    SPLITS,
    Row,
    as_score,
    conclude,
    describe,
    format_score,
    score_form,
)

_SIDES = {"better": "it beats", "worse": "it loses to", "open": "it is not told from"}


def verdict(rows: Sequence[Row]) -> str:
    """Say what a scoreboard's champion came to.

    Parameters
    ----------
    rows
        Rows of ``scoreboard.json``; of several assets those that are pooled.

    Returns
    -------
    str
        Its scores on training, validation and held-out years side by side, its skill and whether
        it is rejected; what it beats, loses to, and is not told from (by the interval of the
        paired log ratio, or where rows have none by intervals that do not meet); where its paths
        end and how its volume moves, beside real days; how it stands given real pasts. Empty where
        nothing was held out yet.
    """
    assets = {row["asset"] for row in rows}
    asset = POOLED if POOLED in assets else next(iter(assets), None)
    of = {(row["split"], row["name"]): row for row in rows if row["asset"] == asset}
    champion = of.get(("heldout", CHAMPION))
    if champion is None:
        return ""
    scores = [
        f"{format_score(row) if split == 'heldout' else _score(row)} on "
        f"{SPLITS[split].lower().replace(' ', '-')} years"
        for split in SPLITS
        if (row := of.get((split, CHAMPION)))
    ]
    said = [f"The evolved market scores {_listed(scores)} ({_standing(champion)})"]
    sides: dict[str, list[str]] = {side: [] for side in _SIDES}
    held = [row for (split, _), row in of.items() if split == "heldout"]
    for row in sorted(held, key=lambda row: as_score(row["score"])):
        if row["name"] not in (CHAMPION, REAL_TARGET):
            sides[_side(champion, row)].append(f"{describe(row['name'])} ({_score(row)})")
    said += [f"{_SIDES[side]} {_listed(names)}" for side, names in sides.items() if names]
    said += _drift(champion, of.get(("heldout", REAL_TARGET)))
    said += _given_pasts(champion)
    return "; ".join(said) + "."


def _standing(row: Row) -> str:
    """Say whether a row is rejected, by what most, and its skill."""
    parts = [f"{conclude(row)[0]} at 5 % as a real market"]
    if conclude(row)[0] == "rejected" and row.get("worst"):
        parts.append(f"farthest off in {row['worst']}")
    skill = as_score(row.get("skill"))
    if math.isfinite(skill):
        parts.append(f"skill {skill:{score_form(skill)}}, real training days are 1")
    return "; ".join(parts)


def _side(champion: Row, row: Row) -> str:
    if row.get("log_ratio") is not None:
        _, low, high = row["log_ratio"]
        better, worse = high is not None and high < 0, low is not None and low > 0
    else:
        better = as_score(champion["ci_high"]) < as_score(row["ci_low"])
        worse = as_score(champion["ci_low"]) > as_score(row["ci_high"])
    if math.isinf(as_score(row["score"])) and math.isfinite(as_score(champion["score"])):
        better = True
    return "better" if better else "worse" if worse else "open"


def _drift(champion: Row, real: Row | None) -> list[str]:
    """Say where paths end and how volume moves, beside real days."""
    said = []
    if champion.get("ends_lower") is not None:
        beside = "" if real is None else f" (real days {real['ends_lower']:.0%})"
        said.append(f"{champion['ends_lower']:.0%} of its held-out paths end lower{beside}")
    volume = as_score(champion.get("volume_volatility"))
    if math.isfinite(volume):
        known = math.inf if real is None else as_score(real.get("volume_volatility"))
        beside = f" (real days {known:+.2f})" if math.isfinite(known) else ""
        said.append(f"its volume correlates with the size of moves by {volume:+.2f}{beside}")
    return said


def _given_pasts(row: Row) -> list[str]:
    """Say how a row's energy score given real pasts stands against GARCH-t's, told the same."""
    skill, p_value = (as_score(row.get(f"conditional_{key}")) for key in ("skill", "p"))
    if not math.isfinite(skill):
        return []
    told = row["conditional_verdict"]
    if math.isfinite(p_value):
        told += f", p {p_value:.2g}"
    return [f"given real pasts its energy score is {skill:.2f} times that of GARCH-t ({told})"]


def _score(row: Row) -> str:
    score = as_score(row["score"])
    return f"{score:{score_form(score)}}" if math.isfinite(score) else "inf"


def _listed(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)

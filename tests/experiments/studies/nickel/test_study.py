"""The page: the paper's figures beside ours, from rounds whose figures are known."""

import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from evobourse.experiments.errors import ConfigError
from evobourse.experiments.studies.nickel import study
from evobourse.experiments.studies.nickel.minds import Rounds
from evobourse.experiments.studies.nickel.rules import read_real
from evobourse.experiments.studies.nickel.tables import real_prices, straight_lines
from evobourse.experiments.studies.run import run_study
from evobourse.market.errors import MarketError
from tests.experiments.studies.nickel.test_minds import CLASSES

ARMS = ("whole", "no expert", "named numbers", "neither")


def known_rounds(times, malformed=False):
    """Rounds whose prices are so many times the real ones, a trade of 10 lots each."""
    days, agents = np.arange(10), np.arange(6)
    per_day = {"day": days, "agent": 0}
    decisions = pd.MultiIndex.from_product([days, agents], names=["day", "agent"]).to_frame(False)
    decisions = decisions.assign(tendency=1, view=0, own=0.0, lean=0.5)
    if malformed:
        decisions = decisions.assign(malformed=decisions["agent"] == 0, lots=2.0)
        decisions.loc[decisions["malformed"], "lots"] = np.nan
    cancelled = days == 9
    orders = pd.DataFrame({**per_day, "kind": days % 2, "price_ticks": 110, "quantity": 10,
                           "filled": 10, "reason": 0})  # fmt: skip
    tape = {
        "prices": pd.DataFrame({"day": days, "reference_ticks": 100}),
        "orders": orders,
        "fills": pd.DataFrame({"day": days, "buyer": 3, "seller": 1, "quantity": 10,
                               "cancelled": cancelled}),
        "decisions": decisions,
        "texts": pd.DataFrame({**per_day, "turn": 0, "kind": "page", "text": "\nRead."}),
        "accounts": pd.DataFrame({"day": days, "agent": 3, "cash_cents": 10**9}),
        "holdings": pd.DataFrame({"day": days, "agent": 0, "position": -25_000}),
    }  # fmt: skip
    return Rounds(times * real_prices(read_real()).to_numpy(), CLASSES, tape, 60.0)


@pytest.fixture
def no_models(monkeypatch):
    """Play known rounds in the place of minds; return what was asked."""
    asked = []

    def open_population(place, overrides):
        asked.append((place, *overrides))
        return SimpleNamespace(bundle=SimpleNamespace(base="a-model"))

    def play_rounds(opened, scenario, cast, real, seed, on_round):
        asked.append((scenario.named_numbers, scenario.deliberation.iterations, seed))
        return known_rounds(1.0 + 0.1 * seed, scenario.named_numbers)

    monkeypatch.setattr(study, "open_population", open_population)
    monkeypatch.setattr(study, "play_rounds", play_rounds)
    return asked


def test_the_page_has_both_papers_figures_every_arm_and_the_rules(tmp_path, told, no_models):
    out = tmp_path / "new" / "nickel.md"
    changes = ["runs=2", "repeats=2", "base=http://127.0.0.1:1/v1", f"arms={[*ARMS]}"]
    page, *pictures = run_study("nickel", changes, out)
    said = page.read_text()
    assert no_models[0] == ("quickstart", "minds.base=http://127.0.0.1:1/v1")
    kinds = [(False, 1), (False, 0), (True, 1), (True, 0)]
    assert no_models[1:] == [(*kind, seed) for kind in kinds for seed in (1, 2)]
    # prices are 10 and 20 % above the real ones
    rows = dict(re.findall(r"^\| minds, ([\w ]+) \| (15\.0 \[[-\d., ]+\]) \|", said, re.M))
    assert tuple(rows) == ARMS
    assert "| mean error of the price, % | 3.4 (v1), 13.29 (v2) | 15.0 [" in said
    truth, lines = real_prices(read_real()), straight_lines(read_real())
    for name, line in lines.items():
        off = 100 * np.abs(line / truth - 1).mean()
        assert f"| {name} | {off:.1f} |" in said
    assert "| producers | +10.0 to +10.0 | 10 to 10 | 5 | 0 |" in said  # others are forced
    assert re.search(r"\| 03-08 \| 0\.50 \| 0\.50 \| \d+ \[.*\] \| 100 \| 50 \|", said)
    assert "```\n[page] Read.\n```" in said
    assert "10 lots are\ntaken back, and positions are those" in said
    assert re.search(r"^\| named numbers \|.* \| 16\.7 \|$", said, re.M)
    # and the traders with rules
    assert sum(line[:3] == "03-" for line in said.splitlines()) == 23
    assert "81,052" in said
    assert re.search(r"simulated settlement, 2 seeds \| \d\.\d \[", said)
    assert [picture.name for picture in pictures] == ["nickel_minds.png", "nickel.png"]
    for picture in pictures:
        assert f"]({picture.name})" in said
        assert picture.read_bytes().startswith(b"\x89PNG")
    figures = told()
    assert figures[0]["value"] == pytest.approx(0.15)
    straight = float(re.search(r"straight line from.*\| ([\d.]+) \|", said)[1])
    line = figures[-1]
    assert 100 * line["value"] / line["ratio"] == pytest.approx(straight, abs=0.05)


def test_an_arm_that_is_none_and_a_scenario_without_cast_are_refused(tmp_path, no_models):
    with pytest.raises(ConfigError, match="arms: 'half' cannot be played, expected of whole"):
        run_study("nickel", ["arms=half"], tmp_path / "nickel.md")
    (tmp_path / "plain.yaml").write_text("turns: [call]\n")
    changes = [f"scenario={tmp_path / 'plain.yaml'}", "arms=whole"]
    with pytest.raises(ConfigError, match="names no cast"):
        run_study("nickel", changes, tmp_path / "nickel.md")
    assert not no_models


@pytest.mark.parametrize("text", ["events: [{kind: halt, day: 1, asset: zinc}]", "events: ["])
def test_a_bad_schedule_is_refused(tmp_path, text):
    path = tmp_path / "zinc.yaml"
    path.write_text(text)
    with pytest.raises(MarketError, match=str(path)):
        run_study("nickel", [f"schedule={path}", "runs=1"], tmp_path / "page.md")

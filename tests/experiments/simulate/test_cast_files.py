"""Casts written and read: from a sentence, from a sequence, by hand; what is refused."""

from dataclasses import asdict
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from evobourse.agents.errors import AgentError
from evobourse.agents.styles import STYLES
from evobourse.experiments.cli.main import app
from evobourse.experiments.config.cast import load_cast, read_cast
from evobourse.experiments.config.orders import ScenarioOrders
from evobourse.experiments.config.scenario import load_scenario
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.simulate.write_cast import write_diverse, write_market, write_sentence


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("members: []", "members is empty"),
        ("cast: []", "unknown key 'cast'"),
        ("members: [{count: 3}]", "name is missing"),
        (
            "members: [{name: a, cuont: 3}]",
            r"unknown key 'members\[0\].cuont'; did you mean 'members\[0\].count'",
        ),
        ("members: [{name: a, count: 0}]", r"members\[0\].count is 0, expected 1 to 1,000,000"),
        ("members: [{name: a}, {name: a}]", "has 'a' twice"),
        ("members: [{name: a, temperature: 0}]", "temperature is 0"),
        (
            "members: [{name: a, style: x, mixture: {y: 1}}]",
            r"members\[0\].style and mixture are both set",
        ),
        ("members: [{name: a, never_sees: [gold]}]", "names field 'gold'"),
        ("members: [{name: a, never_sees: [news], only_sees: [news]}]", "give one of them"),
        ("members: [{name: a, asset: oil}]", "names asset 'oil', the cast has stock"),
        ("members: [{name: b}, {name: a, kind: rule}]", "rule is None for kind rule"),
        ("members: [{name: a, rule: forecasters}]", "rule is 'forecasters' for kind investor"),
        ("members: [{name: a, kind: bank}]", "expected investor or company"),
        ("members: [{name: a, kind: rule, rule: forecasters}]", "rules alone"),
        ("members: [{name: a, orders: {patience: -1}}]", "patience is -1"),
        ("members: [{name: a, assets: [stock]}]", "assets are set for kind investor; give asset"),
        ("members: [", "no valid YAML"),
    ],
)
def test_a_bad_cast_is_refused_in_one_line(text, complaint, tmp_path):
    file = tmp_path / "cast.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=complaint) as refused:
        load_cast(file)
    assert "\n" not in str(refused.value)
    assert str(file) in str(refused.value)


def test_what_is_written_is_a_cast_and_says_where_it_comes_from():
    asked = []

    def guess(word):
        asked.append(word)
        return "herding", 0.3

    text, lost = write_sentence(
        "forty cautious pensioners, ten jittery dentists who see no news, four diverse savers "
        "without charts, 3 noise traders, zzz",
        guess,
    )
    assert asked == ["jittery"]
    assert lost == ["zzz"]
    cast = read_cast(yaml.safe_load(text), "text")
    assert [m.count for m in cast.members] == [40, 10, 1, 1, 1, 1, 3]
    assert cast.members[1].style == "herding"
    assert cast.members[1].hidden == ("news",)
    assert all({"trend", "range"} <= set(m.hidden) for m in cast.members[2:6])
    assert cast.members[-1].rule == "noise-traders"
    assert "guessed by the model" in text
    assert "# Not understood: zzz" in text
    assert "cautious: style risk-averse" in text


def test_hundreds_of_different_people_are_a_cast():
    text, measured = write_diverse(300, 1)
    assert write_diverse(5, 1)[0] == write_diverse(5, 1)[0] != write_diverse(5, 2)[0]
    cast = read_cast(yaml.safe_load(text), "text")
    assert len({m.background for m in cast.members}) == len(cast.members) == 300
    assert measured["sentences"] == 1.0
    personas = [m.persona(STYLES, 1, "main") for m in cast.members]
    assert len({p.mixture for p in personas}) > 290
    assert all(asdict(p)["traits"]["never_sees"] is not None for p in personas)


def test_the_shipped_cast_is_one_and_a_scenario_may_name_it(tmp_path):
    cast = load_cast(Path("experiments/scenarios/cast.yaml"))
    assert {m.kind for m in cast.members} == {"investor", "company", "industry", "rule"}
    (tmp_path / "scene.yaml").write_text(
        "cast: who.yaml\norders: {regimes: 3, mixture: gaussian}\n"
    )
    scenario = load_scenario(tmp_path / "scene.yaml")
    assert scenario.cast == str(tmp_path / "who.yaml")
    assert scenario.orders == ScenarioOrders()
    (tmp_path / "bad.yaml").write_text("orders: {regimes: 0}\n")
    with pytest.raises(ConfigError, match=r"orders.regimes is 0, expected 1 to 10"):
        load_scenario(tmp_path / "bad.yaml")


def test_the_command_prints_writes_and_refuses(tmp_path):
    run = CliRunner().invoke
    sentence = "forty cautious pensioners, ten momentum day-traders who see no news"
    printed = run(app, ["cast", sentence])
    assert printed.exit_code == 0
    assert len(read_cast(yaml.safe_load(printed.stdout), "printed").members) == 2
    file = tmp_path / "cast.yaml"
    assert run(app, ["cast", sentence, "--out", str(file)]).exit_code == 0
    assert file.read_text() == printed.stdout
    left = run(app, ["cast", "ten gloomy savers", "--base", "none"])
    assert "not understood: gloomy" in left.stderr
    for bad, error in ((["cast", "hello world"], AgentError), (["cast"], ConfigError)):
        assert isinstance(run(app, bad).exception, error)


def test_a_market_in_words_is_a_scenario_and_its_cast(tmp_path):
    said = "six classes of nickel traders, margin 10 %, 5 turns a day"
    told = CliRunner().invoke(
        app, ["scenario", said, "--out", str(tmp_path / "nickel.yaml")], catch_exceptions=False
    )
    assert told.exit_code == 0
    scenario = load_scenario(tmp_path / "nickel.yaml")
    assert scenario.stock.initial_margin_bps == 1_000
    assert len(scenario.turns) == 5
    cast = load_cast(Path(scenario.cast))
    assert [member.name for member in cast.members][:2] == ["producers", "merchants"]
    assert [asset.name for asset in cast.assets] == ["nickel"]
    text = (tmp_path / "nickel.yaml").read_text()
    assert text.startswith(f"# From: {said}\n")
    assert "(guessed" in text


def test_traders_that_follow_rules_stand_beside_the_bundles_own():
    text, cast = write_market("price limit 5 %, three market makers, 10 noise traders", "c.yaml")
    assert cast is None
    assert yaml.safe_load(text) == {
        "stock": {"price_limit": 0.05}, "beside": {"market_makers": 3, "noise_traders": 10}
    }  # fmt: skip


def test_a_market_that_cannot_be_is_refused_before_it_is_written():
    with pytest.raises(ConfigError, match=r"stock\.price_limit is 3"):
        write_market("price limit 300 %", "c.yaml")
    with pytest.raises(ConfigError, match="asset nickel is named, and nobody who trades it"):
        write_market("nickel futures, margin 10 %", "c.yaml")
    with pytest.raises(ConfigError, match="not understood: style value, which the bundle lacks"):
        write_market("ten value investors", "c.yaml", ["momentum"])

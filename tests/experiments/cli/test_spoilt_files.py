"""Every command that reads a file, given spoilt ones: one line, exit code 2, never a traceback.

Commands run in this process through the program's own entry, so that an exception which it does
not expect fails the test.
"""

import hashlib
import json
import logging
import shutil
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evobourse.agents.crowds.persona_crowd import history_ticks
from evobourse.evolve.bundle import Bundle, Reference, write_bundle
from evobourse.evolve.lineage import Candidate, Lineage
from evobourse.experiments.cli.main import main
from evobourse.experiments.config.experiment import load_config
from evobourse.market.rules import MarketRules

pytestmark = pytest.mark.slow

SPOILT = {
    "nothing": b"",
    "zeros": bytes(64),
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
    "UTF-16": "name: x\n".encode("utf-16"),
    "Latin 1": "näme: ü\n".encode("latin1"),
    "a list": b"- 1\n- 2\n",
    "a JSON list": b"[1, 2]",
    "a number": b"1e999",
    "a null": b"null",
    "words": b"hello world\n",
    "half of JSON": b'{"a": ',
    "half of YAML": b"a: [1\n",
    "itself": b"&a {b: *a}\n",
    "code": b"!!python/object/apply:os.system [ls]\n",
    "numbers as keys": b"1: 2\n",
    "wrong types": b"name: 3\npersonas: 5\nmembers: x\nturns: 1\nevents: 7\n",
    "brackets without end": b"[" * 1_500,
    "a folder": None,
}


@pytest.fixture
def said(monkeypatch, capsys):
    """Run a command; return its exit code and what it wrote on stderr."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["evobourse", *map(str, arguments)])
        capsys.readouterr()
        try:
            with warnings.catch_warnings():
                main()
            code = 0
        except SystemExit as ended:
            code = ended.code or 0
        finally:
            logging.disable(logging.NOTSET)  # the program keeps others' warnings to itself
        return code, capsys.readouterr().err.strip()

    return run


def assert_one_line(code, line, where):
    assert code == 2, line
    assert line.startswith("evobourse: ")
    assert "\n" not in line
    assert "Traceback" not in line
    assert str(where) in line


def spoil(path, how):
    """Put something else in the place of a file."""
    path.unlink(missing_ok=True)
    if SPOILT[how] is None:
        path.mkdir()
    else:
        path.write_bytes(SPOILT[how])


@pytest.fixture(scope="module")
def bundle(tmp_path_factory, population, offsets, sp500, style_folders):
    """Write a bundle that is sound but for its reference; no command here gets to its model."""
    folder = tmp_path_factory.mktemp("bundles") / "bundle"
    adapters = tuple(style_folders.values())
    people = population(np.eye(3).tolist(), attention=1)
    made = Bundle("test", "smollm2-135m-instruct", "0" * 64, 1, None, adapters, (), people,
                  offsets, MarketRules(), history_ticks(sp500.close[:800]),
                  Reference(10, 2, 1, ""))  # fmt: skip
    write_bundle(folder, made, 30, [], "A card.")
    return folder


@pytest.fixture(scope="module")
def sound_run(tmp_path_factory):
    """Write the files of a run that two commands read."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    folder.mkdir()
    (folder / "config.yaml").write_text(load_config("quickstart").to_yaml())
    ids = ["g000-s00-f00", "g000-s00-f01"]
    genome = {"society": {"aggressiveness": 1.0}}
    Lineage(folder / "lineage.jsonl").append(
        [
            Candidate(id=one, generation=0, parents=(), genome=genome, recipe=None, seeds=(1,),
                      score=score, parts={}, failure=None)
            for one, score in zip(ids, (2.0, 3.0), strict=True)
        ]
    )  # fmt: skip
    (folder / "champion.json").write_text(json.dumps({"champion": ids[0]}))
    (folder / "stopped.json").write_text(json.dumps({"reason": "all are done"}))
    rows = [{"name": "evolved", "asset": "sp500", "split": "heldout", "score": 1.0,
             "ci_low": 0.5, "ci_high": 2.0}]  # fmt: skip
    (folder / "scoreboard.json").write_text(json.dumps(rows))
    return folder


# Configs, scenarios, casts


@pytest.mark.parametrize("how", SPOILT)
def test_a_spoilt_config_is_one_line(how, said, tmp_path):
    file = tmp_path / "spoilt.yaml"
    spoil(file, how)
    for command in (
        ["evolve", file, "--run", tmp_path / "run"],
        ["evolve", file, "--dry-run"],
        ["tune", file, "--vary", "seed=1|2", "--run", tmp_path / "run"],
        ["simulate", file, "--out", tmp_path / "tape"],
        ["train-styles", file, "--out", tmp_path / "styles"],
        ["config", file],
    ):
        code, line = said(*command)
        if how == "a folder" and command[0] == "simulate":
            assert_one_line(code, line, "name a folder that evobourse exported")
        else:
            assert_one_line(code, line, file)
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "tape").exists()


@pytest.mark.parametrize("how", SPOILT)
def test_a_spoilt_scenario_cast_or_schedule_is_one_line(how, said, bundle, tmp_path):
    file = tmp_path / "spoilt.yaml"
    spoil(file, how)
    for command in (
        ["simulate", bundle, "--scenario", file, "--out", tmp_path / "tape"],
        ["response", bundle, "--scenario", file, "--out", tmp_path / "picture.png"],
        ["simulate", bundle, "--cast", file, "--out", tmp_path / "tape"],
        ["config", "--kind", "scenario", file],
        ["config", "--kind", "cast", file],
    ):
        assert_one_line(*said(*command), file)
    assert not (tmp_path / "tape").exists()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_value_in_the_place_of_any_setting_is_taken_or_one_line(data, said, tmp_path):
    whole = load_config("quickstart").settings()
    place, path = whole, []
    while True:
        key = data.draw(st.sampled_from(sorted(place)))
        path.append(key)
        if not isinstance(place[key], dict) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
        | st.lists(st.integers() | st.none() | st.text(max_size=3), max_size=3)
        | st.dictionaries(st.text(max_size=3), st.integers(), max_size=2)
    )  # fmt: skip
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(whole, allow_unicode=True))
    code, line = said("config", file)
    if code:
        assert_one_line(code, line, file)


# Prices


def sound_prices():
    draw = np.random.default_rng(1)
    close = 50 * np.exp(np.cumsum(draw.normal(0, 0.01, 400)))
    days = pd.bdate_range("2001-01-01", periods=400)
    sides = {"open": close, "high": close * 1.01, "low": close * 0.99, "close": close}
    return pd.DataFrame({"date": days, **sides, "volume": 5.0})


PRICES = {
    "weeks": lambda f: f.assign(date=pd.date_range("2001-01-05", periods=400, freq="W-FRI")),
    "months": lambda f: f.assign(date=pd.date_range("1980-01-01", periods=400, freq="ME")),
    "minutes": lambda f: f.assign(date=pd.date_range("2001-01-01", periods=400, freq="min")),
    "a suspension": lambda f: f.assign(
        **{c: f[c].where(f.index < 99, 1.0) for c in ("open", "high", "low", "close")},
        volume=np.where(f.index < 99, 5.0, 0.0)),
    "twice each day": lambda f: pd.concat([f, f]),
    "a hole": lambda f: f.assign(close=f.close.where(f.index != 7)),
    "a day without prices": lambda f: f.assign(
        **{c: f[c].where(f.index != 7) for c in ("open", "high", "low", "close", "volume")}),
    "infinity": lambda f: f.assign(high=np.inf),
    "zero": lambda f: f.assign(low=0.0),
    "words": lambda f: f.assign(close="n/a?"),
    "no dates": lambda f: f.drop(columns="date"),
    "row numbers for dates": lambda f: f.assign(date=range(400)),
    "no such day": lambda f: f.assign(date="2001-02-30"),
    "one row": lambda f: f.head(1),
    "no row": lambda f: f.head(0),
    "UTC midnights without a zone": lambda f: f.assign(
        date=f.date.dt.tz_localize("Asia/Tokyo").dt.tz_convert("UTC").dt.tz_localize(None)),
    "a day late": lambda f: f.assign(date=f.date + pd.Timedelta(days=1)),
}  # fmt: skip


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("how", [*PRICES, *SPOILT])
def test_spoilt_prices_are_one_line(how, ending, said, tmp_path):
    file = tmp_path / f"spoilt.{ending}"
    if how in SPOILT and how != "words":
        spoil(file, how)
    else:
        spoilt = PRICES[how](sound_prices())
        spoilt.to_csv(file, index=False) if ending == "csv" else spoilt.to_parquet(file)
    scenario = {"orders": {"series": str(file)}}
    (tmp_path / "scenario.yaml").write_text(yaml.safe_dump(scenario))
    for command in (
        ["score", file],
        ["score", "sp500", "--against", file],
        ["baselines", file, "--out", tmp_path / "page.md"],
        ["evolve", "quickstart", "--set", f"series={file}", "--run", tmp_path / "run"],
        ["train-styles", "quickstart", "--set", f"series={file}", "--out", tmp_path / "styles"],
    ):
        assert_one_line(*said(*command), file)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "run") == sorted(
        [file.name, "scenario.yaml"]
    )
    code, line = said("to-daily", file, tmp_path / "daily.csv")
    if how != "minutes":  # which it is for
        assert_one_line(code, line, file)
        assert not (tmp_path / "daily.csv").exists()


# Bundles


def signed(folder):
    """Make the hashes those of the files, as somebody does who edits a bundle by hand."""
    hashes = json.loads((folder / "hashes.json").read_text())
    for name in hashes:
        if (folder / name).is_file():
            hashes[name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "hashes.json").write_text(json.dumps(hashes))


@pytest.mark.parametrize("file", ["simulator.yaml", "personas.yaml", "history.csv", "hashes.json"])
@pytest.mark.parametrize("how", SPOILT)
def test_a_spoilt_bundle_is_one_line(how, file, said, bundle, tmp_path):
    copy = tmp_path / "bundle"
    shutil.copytree(bundle, copy)
    spoil(copy / file, how)
    if file != "hashes.json":
        signed(copy)
    for command in (
        ["simulate", copy, "--out", tmp_path / "tape"],
        ["export", copy, "--out", tmp_path / "export"],
        ["behaviour", copy],
        ["response", copy],
        ["cast", "ten savers", "--bundle", copy],
    ):
        assert_one_line(*said(*command), copy)
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


@pytest.mark.parametrize("name", ["../../outside", "/etc/passwd", "a/../../b"])
def test_a_bundle_names_nothing_outside_itself(name, said, bundle, tmp_path):
    copy = tmp_path / "bundle"
    shutil.copytree(bundle, copy)
    config = yaml.safe_load((copy / "simulator.yaml").read_text())
    config["adapters"] = [name]
    (copy / "simulator.yaml").write_text(yaml.safe_dump(config))
    signed(copy)
    assert_one_line(*said("cast", "ten savers", "--bundle", copy), repr(name))


# Runs


@pytest.mark.parametrize("how", SPOILT)
@pytest.mark.parametrize(
    "file", ["config.yaml", "lineage.jsonl", "champion.json", "stopped.json", "scoreboard.json"]
)
def test_a_spoilt_run_is_one_line(file, how, said, sound_run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(sound_run, copy)
    spoil(copy / file, how)
    commands = [["lineage", copy], ["compare", copy, sound_run], ["compare", sound_run, copy]]
    if file in ("config.yaml", "lineage.jsonl"):
        commands += [["track", copy]]
    for command in commands:
        if (file, command[0]) == ("scoreboard.json", "lineage"):
            continue  # which does not read it
        code, line = said(*command)
        quiet = how in ("nothing", "a null") and file not in ("config.yaml",)
        unfinished = file == "lineage.jsonl" and b"\n" not in (SPOILT[how] or b"\n")
        if code or not (quiet or unfinished):  # a file cut off before its first line is none yet
            assert_one_line(code, line, tmp_path)


def test_the_run_is_sound(said, sound_run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(sound_run, copy)
    for command in (["lineage", copy], ["compare", copy, sound_run]):
        assert said(*command) == (0, "")


@pytest.mark.parametrize("place", ["missing", "x" * 300])
def test_places_that_cannot_be_are_one_line(place, said, tmp_path):
    for command in (
        ["evolve", place], ["simulate", place], ["config", place], ["resume", place],
        ["lineage", place], ["track", place], ["compare", place, place], ["export", place],
        ["behaviour", place], ["response", place], ["robust", place], ["score", f"{place}.csv"],
        ["baselines", f"{place}.csv"], ["to-daily", f"{place}.csv", tmp_path / "x.csv"],
        ["cast", "ten savers", "--bundle", place],
    ):  # fmt: skip
        code, line = said(*command)
        assert code == 2
        assert line.startswith("evobourse: ")
        assert "\n" not in line


def test_a_persona_is_exported_where_it_was_asked_whatever_its_name(said, bundle, tmp_path):
    copy = tmp_path / "bundle"
    shutil.copytree(bundle, copy)
    personas = yaml.safe_load((copy / "personas.yaml").read_text())
    names = ["../../outside", "a/b", "what?"]
    for persona, name in zip(personas, names, strict=True):
        persona["name"] = name
    (copy / "personas.yaml").write_text(yaml.safe_dump(personas))
    signed(copy)
    assert said("export", copy, "--out", tmp_path / "deep" / "export") == (0, "")
    assert {path.name for path in tmp_path.iterdir()} == {"bundle", "deep"}
    minds = tmp_path / "deep" / "export" / "minds"
    assert {path.name for path in minds.iterdir()} == {"%2E.%2F..%2Foutside", "a%2Fb", "what%3F"}
    assert all((mind / "adapter_config.json").is_file() for mind in minds.iterdir())


def test_a_diverse_cast_has_the_bundles_styles(said, bundle, tmp_path):
    file = tmp_path / "people.yaml"
    assert said("cast", "--diverse", 40, "--bundle", bundle, "--out", file) == (0, "")
    members = yaml.safe_load(file.read_text())["members"]
    assert {style for m in members for style in m["mixture"]} == {"momentum", "value", "contrarian"}
    code, line = said("cast", "ten cautious value savers", "--bundle", bundle, "--out", file)
    assert (code, line) == (0, "not understood: style risk-averse, which the bundle lacks")
    assert yaml.safe_load(file.read_text())["members"][0]["style"] == "value"

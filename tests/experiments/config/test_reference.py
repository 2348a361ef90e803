"""The reference and the schema: complete, up to date, and printed by the command."""

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import jsonschema
import pytest
import yaml
from typer.testing import CliRunner

from evobourse.experiments.cli.configs import render_page
from evobourse.experiments.cli.main import app
from evobourse.experiments.config.cast import Cast
from evobourse.experiments.config.experiment import ExperimentConfig, load_config
from evobourse.experiments.config.reference import REQUIRED, describe
from evobourse.experiments.config.scenario import Scenario
from evobourse.experiments.config.schema import to_schema
from evobourse.experiments.errors import ConfigError

ROOT = Path(__file__).parents[3]
QUICKSTART = ROOT / "experiments" / "quickstart.yaml"
SCENARIOS = ROOT / "experiments" / "scenarios"
FILES = [
    (QUICKSTART, ExperimentConfig),
    (SCENARIOS / "shock.yaml", Scenario),
    (SCENARIOS / "news.yaml", Scenario),
    (SCENARIOS / "deliberate.yaml", Scenario),
    (SCENARIOS / "cast.yaml", Cast),
    (SCENARIOS / "nickel.yaml", Scenario),
    (SCENARIOS / "nickel_cast.yaml", Cast),
]


def invoke(*arguments):
    done = CliRunner().invoke(app, ["config", *map(str, arguments)])
    if done.exception is not None:
        raise done.exception
    return done.stdout


def validator(kind):
    schema = to_schema("a file", kind)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def as_editors_read(text):
    """Read YAML with days as text, as YAML 1.2 and JSON Schema have it."""
    return json.loads(json.dumps(yaml.safe_load(text), default=str))


def flat(settings, prefix=""):
    for key, value in settings.items():
        if isinstance(value, dict) and value:
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


@pytest.mark.parametrize("kind", [ExperimentConfig, Scenario, Cast])
def test_every_key_has_a_meaning_and_is_there_once(kind):
    sections = list(describe(kind))
    settings = {s.key: [one.key for one in s.settings] for s in sections}
    assert len(settings) == len(sections)
    assert {f.name for f in fields(kind)} <= {*settings[""], *settings}
    for section in sections:
        assert section.meaning
        for setting in section.settings:
            assert setting.meaning
            assert setting.values
            assert setting.default


def test_the_defaults_are_those_of_a_config(tmp_path):
    file = tmp_path / "least.yaml"
    file.write_text("personas: [{name: a}]\n")
    config = load_config(file)
    told = {
        f"{section.key}.{setting.key}".removeprefix("."): setting.default
        for section in describe(ExperimentConfig)
        for setting in section.settings
    }
    assert told.pop("personas") == REQUIRED
    resolved = config.settings()
    del resolved["personas"]
    for key, value in flat(resolved):
        assert yaml.safe_load(told[key]) == value, key


def test_the_page_is_up_to_date():
    page = ROOT / "docs" / "configuration.md"
    assert page.read_text() == render_page(), "evobourse config --markdown > docs/configuration.md"


@pytest.mark.parametrize(("file", "kind"), FILES, ids=lambda x: getattr(x, "name", ""))
def test_the_schema_takes_what_is_shipped(file, kind):
    validator(kind).validate(as_editors_read(file.read_text()))


def test_the_schema_takes_a_resolved_config():
    validator(ExperimentConfig).validate(as_editors_read(load_config(QUICKSTART).to_yaml()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"serch": {}}, "'serch' was unexpected"),
        ({"seed": -1}, "-1 is less than the minimum of 0"),
        ({"market": {"agents": "many"}}, "is not valid under any of the given schemas"),
        ({"personas": [{"style": "value"}]}, "'name' is a required property"),
        ({"splits": {"train": ["1999-01-04"]}}, "is not valid under any of the given schemas"),
        ({"stock_splits": "ignore"}, "'ignore' is not one of"),
        ({"search": {"memetic": {"nats": 0}}}, "is not valid under any of the given schemas"),
    ],
)
def test_the_schema_refuses_what_the_reader_refuses(change, message, tmp_path):
    raw = {"personas": [{"name": "a"}], **change}
    found = [error.message for error in validator(ExperimentConfig).iter_errors(raw)]
    assert len(found) == 1
    assert message in found[0]
    file = tmp_path / "bad.yaml"
    file.write_text(yaml.safe_dump(raw))
    with pytest.raises(ConfigError):
        load_config(file)


def test_the_command_prints_the_reference():
    printed = invoke()
    for words in ("search.cross", "slow_count", "default 3; a whole number (candidates), at least"):
        assert words in printed
    assert "never_sees" in invoke("--kind", "cast")
    assert "market_makers" in invoke("--kind", "scenario")
    assert invoke("--markdown") == render_page()


def test_the_command_prints_the_schema():
    schema = json.loads(invoke("--json"))
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["required"] == ["personas"]
    assert set(schema["properties"]) == {f.name for f in fields(ExperimentConfig)}
    assert "members" in json.loads(invoke("--json", "--kind", "cast"))["properties"]


def test_the_command_checks_a_file_and_prints_it_resolved(tmp_path):
    changes = ("--set", "search.optimizer=cma", "--set", "search.cma.restarts=2")
    printed = invoke(QUICKSTART, *changes)
    settings = yaml.safe_load(printed)
    assert settings["search"]["cma"]["restarts"] == 2
    assert "cross" not in settings["search"]
    assert json.loads(invoke(QUICKSTART, *changes, "--json")) == settings
    again = tmp_path / "again.yaml"
    again.write_text(printed)
    assert invoke(again) == printed
    assert len(yaml.safe_load(invoke(SCENARIOS / "cast.yaml", "--kind", "cast"))["members"]) > 3
    with pytest.raises(ConfigError, match="unknown key 'turns'"):
        invoke(SCENARIOS / "shock.yaml")
    with pytest.raises(ConfigError, match="--set changes a sweep's config"):
        invoke(SCENARIOS / "shock.yaml", "--kind", "scenario", "--set", "events=null")


def test_configs_are_read_without_models_and_markets():
    names = ("cast", "experiment", "reference", "scenario", "schema")
    script = (
        f"import {', '.join(f'evobourse.experiments.config.{name}' for name in names)}, sys\n"
        "strange = ('torch', 'transformers', 'evobourse.experiments.sweep', "
        "*(f'evobourse.market.{name}' for name in ('book', 'crowd', 'exchange')))\n"
        "print([name for name in strange if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")

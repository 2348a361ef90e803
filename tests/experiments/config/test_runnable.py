from dataclasses import dataclass
from pathlib import Path

import pytest

from evobourse.experiments.config.runnable import (
    choose,
    describe_settings,
    find_declared,
    read_settings,
    typed_command,
)
from evobourse.experiments.errors import ConfigError


@dataclass(frozen=True)
class Kind:
    minutes: float
    page: str = "page.md"


@dataclass(frozen=True)
class Settings:
    """What is played.

    Attributes
    ----------
    seeds, first
        Markets, one a seed,
        and the first seed.
    run
        A folder.
    """

    seeds: int = 8
    first: int | None = None
    run: Path = Path("runs/quickstart")
    styles: tuple[str, ...] = ("momentum",)
    rates: tuple[float, ...] = ()
    eager: bool = False
    changes: tuple[str, ...] = ()


def read(*changes):
    return read_settings(Settings, changes, "study x")


def test_a_file_and_a_folder_are_found_by_their_names_and_not_imported(tmp_path):
    (tmp_path / "one.py").write_text("raise ImportError\nKIND = Kind(\n    minutes=2,\n)\n")
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "study.py").write_text("x = 1\nKIND = Kind(minutes=0.5, page='b.md')\n")
    (tmp_path / "two" / "page.py").write_text("'''A KIND = Kind(minutes=1) in words.'''\n")
    (tmp_path / "helper.py").write_text("kind = Kind(minutes=2)\n")
    found = find_declared(tmp_path, "a.b", "KIND", Kind)
    assert {name: (f.module, f.declared) for name, f in found.items()} == {
        "one": ("a.b.one", Kind(2)),
        "two": ("a.b.two.study", Kind(0.5, "b.md")),
    }


def test_an_unknown_name_is_refused_with_the_nearest():
    known = {"power": 1, "masks": 2}
    assert choose(known, "power", "study") == 1
    with pytest.raises(ConfigError, match="study 'pwer' is unknown; did you mean 'power'"):
        choose(known, "pwer", "study")
    with pytest.raises(ConfigError, match="known: power, masks"):
        choose(known, "xyz", "study")


def test_settings_take_their_types_from_the_fields():
    assert read() == Settings()
    assert read("seeds=3", "first=null", "run=runs/a", "eager=true") == Settings(
        seeds=3, run=Path("runs/a"), eager=True
    )
    assert read("styles=value", "rates=[0.1, 1]").styles == ("value",)
    assert read("rates=[0.1, 1]").rates == (0.1, 1.0)


def test_keys_with_a_dot_are_the_configs():
    settings = read("market.agents=100", "seeds=2", "search.cma.sigma=0.5")
    assert settings.changes == ("market.agents=100", "search.cma.sigma=0.5")
    assert settings.seeds == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("sees=3", "study x: unknown key 'sees'; did you mean 'seeds'?"),
        ("seeds=many", "study x: seeds is 'many', expected "),
        ("seeds=0", "study x: seeds is 0, expected at least 1"),
        ("eager=1", "study x: eager is 1, expected "),
        ("seeds", "expected key=value"),
    ],
)
def test_bad_changes_are_refused(change, said):
    with pytest.raises(ConfigError) as caught:
        read(change)
    assert said in str(caught.value)


def test_settings_without_a_config_refuse_its_keys():
    with pytest.raises(ConfigError, match="unknown key 'market'"):
        read_settings(Kind, ["market.agents=3"], "study y")


def test_settings_are_described_by_their_docstring():
    rows = describe_settings(Settings)
    assert rows[0] == ("seeds", "8", "Markets, one a seed, and the first seed.")
    assert rows[1] == ("first", "null", "Markets, one a seed, and the first seed.")
    assert rows[2:4] == [("run", "runs/quickstart", "A folder."), ("styles", "[momentum]", "")]
    assert rows[5] == ("eager", "false", "")


def test_a_command_can_be_typed_again():
    command = typed_command("evobourse", "study", "x", changes=["seeds=2", "styles=[a, b]"])
    assert command == "evobourse study x --set seeds=2 --set 'styles=[a, b]'"

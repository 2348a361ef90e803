from pathlib import Path

import pytest

from evobourse.experiments.config.experiment import load_config
from evobourse.experiments.errors import ConfigError

QUICKSTART = Path(__file__).parents[3] / "experiments" / "quickstart.yaml"


def test_the_resolved_config_reads_back_as_itself(tmp_path: Path) -> None:
    config = load_config(QUICKSTART, ["search.generations=3", "minds.attention=2"])
    again = tmp_path / "config.yaml"
    again.write_text(config.to_yaml())
    assert load_config(again) == config
    assert config.search.generations == 3
    assert config.minds.attention == 2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("serch.generations=3", "did you mean 'search'"),
        ("search.generation=3", "did you mean 'search.generations'"),
        ("search.generations=many", "search.generations is 'many', expected a whole number"),
        ("search.generations=0", "at least 1"),
        ("market.agents=true", "market.agents is True, expected a whole number"),
        ("splits.train=[1999-01-04]", "expected 2"),
        ("splits.embargo_days=99", "splits.embargo_days is 99, expected at least 100"),
        ("stock_splits=ignore", "stock_splits is 'ignore', expected refuse or adjust or accept"),
        ("splits.series_sha256=7", "splits.series_sha256 is 7, expected text"),
        ("personas=[]", "personas is empty"),
        ("personas=[{style: value}]", "name is missing"),
        ("minds=3", "expected a section"),
        ("seed", "expected key=value"),
        ("minds.memory_bytes=0", "minds.memory_bytes is 0, expected at least 1"),
        ("minds.adapters_of={./mine: ./styles}", "has './mine', and no persona names that base"),
        ("personas=[{name: a, base: 3}]", "personas[0].base is 3, expected text"),
    ],
)
def test_bad_values_name_the_key_and_what_to_do(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("[", r"\[")) as caught:
        load_config(QUICKSTART, [override])
    assert "\n" not in str(caught.value)


def test_missing_and_malformed_files_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "none.yaml")
    bad = tmp_path / "bad.yaml"
    bad.write_text("name: [unclosed")
    with pytest.raises(ConfigError, match="no valid YAML"):
        load_config(bad)

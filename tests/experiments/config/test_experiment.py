from pathlib import Path

import pytest

from evobourse.experiments.config.experiment import MarketConfig, load_config
from evobourse.experiments.config.search import CrossConfig
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
        ("personas=[]", "personas is empty; list at least one, .* or set cloud.minds"),
        ("cloud.minds=8", "personas lists 8, and cloud is set, .* set personas: [], or leave"),
        ("cloud={}", "personas lists 8, and cloud is set"),
        ("cloud.minds=0", "cloud.minds is 0, expected 1 to 9,999"),
        ("cloud.rank=0", "cloud.rank is 0, expected 1 to 6"),
        ("cloud.size=8", "unknown key 'cloud.size'; valid: minds, rank"),
        ("personas=[{style: value}]", "name is missing"),
        ("minds=3", "expected a section"),
        ("seed", "expected key=value"),
        ("minds.memory_bytes=0", "minds.memory_bytes is 0, expected at least 1"),
        ("minds.adapters_of={./mine: ./styles}", "has './mine', and no persona names that base"),
        ("search.cma.restarts=1", "search.cma is set, and the optimizer is cross; leave it out"),
        ("search.archive.step_sizes={minds: 1}", "set search.optimizer: map_elites or cma_mae"),
        (
            "search.sigma_fast=1",
            "key 'search.sigma_fast'; it is now 'search.cross.sigma_fast'",
        ),
        ("search.sampler=qmc", "it is now 'search.optuna.sampler'"),
        ("search.champions=3", "it is now 'selection.champions'"),
        ("search.max_minutes=3", "it is now 'budget.max_minutes'"),
        ("search.max_minute=3", "did you mean 'budget.max_minutes'"),
        ("search.rungs=[2, 2]", "search.rungs is [2, 2], expected ascending"),
        ("search.cross.sigma_fast=.nan", "search.cross.sigma_fast is nan, expected above 0"),
        ("budget.max_decisions=0", "budget.max_decisions is 0, expected at least 1"),
        ("persona_genes=[size, size]", "persona_genes has one twice: size, size"),
        ("mechanisms={}", "that is 0; set it above 0, or leave the gene out"),
        ("mechanisms={two_sided: 2}", "mechanisms.two_sided is 2.0, expected 0 to 1"),
        ("society={decay: 20}", "society.decay is 20.0, expected 0 to 10"),
        ("society={contest: {every: 0}}", "society.contest.every is 0, expected 1 to 10,000"),
        ("minds.device=gpu", "minds.device is 'gpu', expected cpu"),
        ("minds.endpoint.attempts=0", "minds.endpoint.attempts is 0, expected at least 1"),
        ("minds.base='http://localhost/v1'", "minds.base 'http://localhost/v1': expected http"),
        ("executor.address=auto", "executor.address is 'auto', and executor.kind 'local' has none"),
        ("training.series=[]", "training.series is empty"),
        ("personas=[{name: a, base: 3}]", "personas[0].base is 3, expected text"),
    ],
)
def test_bad_values_name_the_key_and_what_to_do(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("[", r"\[")) as caught:
        load_config(QUICKSTART, [override])
    assert "\n" not in str(caught.value)


def test_another_optimizer_takes_the_sections_of_others_away(tmp_path: Path) -> None:
    assert load_config(QUICKSTART).search.cross.sigma_fast == 0.5
    changes = ["search.cma.restarts=2", "search.optimizer=cma"]
    search = load_config(QUICKSTART, changes).search
    assert (search.optimizer, search.cma.restarts) == ("cma", 2)
    assert search.cross == CrossConfig()
    assert "cross" not in load_config(QUICKSTART, changes).settings()["search"]
    both = tmp_path / "both.yaml"
    both.write_text("personas: [{name: a}]\nsearch: {optimizer: cma, cross: {slow_count: 2}}\n")
    with pytest.raises(ConfigError, match=r"both.yaml: search.cross is set, and the optimizer is"):
        load_config(both)
    with pytest.raises(ConfigError, match=r"search.cross is set, and the optimizer is cma"):
        load_config(QUICKSTART, ["search.optimizer=cma", "search.cross.slow_count=2"])


def test_random_has_nothing_of_optuna_but_its_database() -> None:
    chance = "search.optimizer=random"
    assert load_config(QUICKSTART, [chance, "search.optuna.storage=sqlite:///x.db"])
    with pytest.raises(ConfigError, match=r"search.optuna has a sampler or objectives"):
        load_config(QUICKSTART, [chance, "search.optuna.sampler=qmc"])
    with pytest.raises(ConfigError, match=r"search.optuna.sampler is 'nsga2' with objectives"):
        load_config(QUICKSTART, ["search.optimizer=optuna", "search.optuna.sampler=nsga2"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("minds.cores=full", "cloud is set, and minds.cores is 'full', which are of the style"),
        ("minds.adapters_of={./mine: ./styles}", "has './mine', and no persona names that base"),
        ("society={contest: {replaced: 1}}", "society.contest.replaced is 1, which needs minds"),
    ],
)
def test_what_a_cloud_does_not_go_with_is_refused(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(QUICKSTART, ["personas=[]", "cloud.minds=300", override])
    assert "\n" not in str(caught.value)


def test_minds_are_counted_whether_listed_or_drawn() -> None:
    assert load_config(QUICKSTART).n_personas == 8
    drawn = load_config(QUICKSTART, ["personas=[]", "cloud.minds=300"])
    assert (drawn.n_personas, drawn.cloud.rank) == (300, 2)


def test_an_empty_section_has_its_defaults(tmp_path: Path) -> None:
    empty = tmp_path / "empty.yaml"
    empty.write_text("personas: [{name: a}]\nsearch:\nmarket: {}\n")
    config = load_config(empty, ["search.cross.slow_count=7"])
    assert config.search.cross.slow_count == 7
    assert config.market == MarketConfig()


def test_missing_and_malformed_files_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "none.yaml")
    bad = tmp_path / "bad.yaml"
    bad.write_text("name: [unclosed")
    with pytest.raises(ConfigError, match="no valid YAML"):
        load_config(bad)

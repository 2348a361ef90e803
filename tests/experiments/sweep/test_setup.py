"""Which real series a sweep accepts, and that a run goes on with the one it began with."""

from pathlib import Path

import pandas as pd
import pytest

from evobourse import experiments
from evobourse.evolve.run_folder import RunFolder
from evobourse.experiments.config.experiment import load_config
from evobourse.experiments.sweep.resume import freeze_splits
from evobourse.experiments.sweep.setup import build_experiment
from evobourse.market.errors import SeriesError
from evobourse.market.series.named import load_series

QUICKSTART = Path(experiments.__file__).with_name("quickstart.yaml")
STOCK_YEARS = (
    "splits.train=[2000-03-01, 2005-12-30]",
    "splits.validation=[2006-06-01, 2009-06-30]",
    "splits.heldout=[2009-12-01, 2013-03-01]",
)


def experiment(*overrides):
    return build_experiment(load_config(QUICKSTART, overrides))


def test_the_quickstarts_series_is_the_one_it_was_published_with():
    expected = "2532484cbc9ad02a5d970dad4bcd9c386698cfd4c6224a22bb1576b6c5b5c32c"
    assert experiment().series.content_hash == expected
    assert experiment(f"splits.series_sha256={expected}").series.content_hash == expected


def test_other_shipped_series_and_files_are_accepted(tmp_path):
    nasdaq = experiment("series=nasdaq")
    assert (nasdaq.series.name, nasdaq.splits) == ("nasdaq", experiment().splits)
    apple = experiment("series=aapl", *STOCK_YEARS)
    from bokeh_sampledata import stocks

    raw = tmp_path / "raw.csv"
    pd.DataFrame(stocks.AAPL).to_csv(raw, index=False)
    with pytest.raises(SeriesError, match=r"raw.csv: row 79 .*2:1 stock split"):
        experiment(f"series={raw}", *STOCK_YEARS)
    adjusted = experiment(f"series={raw}", "stock_splits=adjust", *STOCK_YEARS)
    assert adjusted.series.content_hash == apple.series.content_hash
    assert adjusted.windows.world == apple.windows.world


@pytest.mark.parametrize("name", ["wti", "vix"])
def test_closes_alone_make_no_orders(name):
    with pytest.raises(SeriesError, match=f"{name}: closes alone.*take sp500, nasdaq"):
        experiment(f"series={name}")


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(SeriesError, match="unknown series 'sp600': give sp500, nasdaq, wti, vix"):
        experiment("series=sp600")


def test_a_run_goes_on_with_the_series_that_it_began_with_alone(tmp_path):
    prices = tmp_path / "prices.csv"
    load_series("sp500").frame.to_csv(prices, index=False)
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    freeze_splits(experiment("series=nasdaq"), run)  # looked at, never begun
    freeze_splits(experiment(f"series={prices}"), run)
    run.checkpoint.parent.mkdir()
    run.checkpoint.touch()
    freeze_splits(experiment(f"series={prices}"), run)
    written = run.splits.read_text()
    lines = prices.read_text().splitlines()
    prices.write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(SeriesError, match="heldout names 2018-12-31, outside the series"):
        experiment(f"series={prices}")
    lines[2] = lines[2].replace(lines[2].rpartition(",")[2], "7")
    prices.write_text("\n".join(lines) + "\n")
    with pytest.raises(SeriesError, match="prices: the splits are frozen for the series with"):
        freeze_splits(experiment(f"series={prices}"), run)
    assert run.splits.read_text() == written


def test_frozen_splits_are_a_section_of_a_config(tmp_path):
    frozen = experiment().config.splits.freeze(load_series("sp500"))
    config = tmp_path / "config.yaml"
    indented = "".join(f"  {line}\n" for line in frozen.to_yaml().splitlines())
    personas = "personas: [{name: amateur}]\n"
    config.write_text(f"{personas}splits:\n{indented}")
    assert load_config(config).splits == frozen
    with pytest.raises(SeriesError, match="nasdaq: the splits are frozen"):
        build_experiment(load_config(config, ["series=nasdaq"]))

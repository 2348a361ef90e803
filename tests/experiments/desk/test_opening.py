"""The real path beside a desk's: of a run's bundle, of a config, of a bundle that was moved."""

from types import SimpleNamespace

import numpy as np
import pytest

from evobourse.agents.crowds.persona_crowd import history_ticks
from evobourse.experiments.config.experiment import load_config
from evobourse.experiments.desk.opening import real_path

KNOWN = 1_000


@pytest.fixture
def bundle(sp500):
    return SimpleNamespace(history=history_ticks(sp500.close[:KNOWN]))


@pytest.mark.parametrize("series", ["sp500", ["sp500", "nasdaq"]])
def test_a_runs_bundle_knows_its_series(bundle, sp500, tmp_path, series):
    config = load_config("quickstart", [f"series={series}"])
    (tmp_path / "config.yaml").write_text(config.to_yaml())
    (tmp_path / "bundle").mkdir()
    path = real_path(tmp_path / "bundle", bundle)
    assert path.shape == (len(sp500) - KNOWN,)
    expected = sp500.close[KNOWN:] / sp500.close[KNOWN - 1] * bundle.history[-1]
    np.testing.assert_allclose(path, expected, atol=0.5)


def test_a_bundle_that_was_moved_or_is_of_other_prices_has_none(bundle, tmp_path):
    assert real_path(tmp_path / "bundle", bundle) is None
    other = load_config("quickstart", ["series=nasdaq"])
    (tmp_path / "config.yaml").write_text(other.to_yaml())
    assert real_path(tmp_path / "bundle", bundle) is None

"""Chronos beside the other forecasters: a stand-in of its interface, and real tiny models."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from evobourse.experiments.errors import ConfigError
from evobourse.experiments.scoring import chronos as chronos_forecast
from evobourse.experiments.scoring.chronos import forecast_returns
from evobourse.fitness.forecasts import baseline_forecasts, compare_forecasts, rolling_origins


@pytest.fixture(scope="module")
def returns(sp500):
    return np.diff(np.log(sp500.close[:165]))


@pytest.fixture(scope="module")
def origins(returns):
    return rolling_origins(len(returns), 100)


@pytest.fixture
def stand_in(monkeypatch, tmp_path):
    """Install a package ``chronos`` whose model remembers contexts and adds noise to their mean."""
    contexts = []

    class Pipeline:
        @staticmethod
        def from_pretrained(folder, **settings):
            if (folder / "config.json").read_text() != "{}":
                raise ValueError("Not a Chronos config file")
            return Pipeline()

        def predict_quantiles(self, inputs, prediction_length, quantile_levels):
            [context] = inputs
            contexts.append(context)
            mean = context.mean() + torch.randn(1, prediction_length)
            return mean[..., None], mean

    monkeypatch.setitem(sys.modules, "chronos", SimpleNamespace(BaseChronosPipeline=Pipeline))
    monkeypatch.setattr(chronos_forecast, "find_spec", lambda name: name == "chronos")
    (tmp_path / "config.json").write_text("{}")
    return tmp_path, contexts


def test_without_a_folder_there_are_the_baselines_alone(returns, origins):
    found, alone = forecast_returns(returns, origins[:2]), baseline_forecasts(returns, origins[:2])
    assert list(found) == list(alone)
    for name in alone:
        np.testing.assert_array_equal(found[name], alone[name])


def test_a_model_sees_what_was_known_and_its_draws_are_the_generators(returns, origins, stand_in):
    folder, contexts = stand_in
    before = torch.get_rng_state()
    first, again, other = (
        forecast_returns(returns, origins[:3], folder, np.random.default_rng(seed))["chronos"]
        for seed in (1, 1, 2)
    )
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(first, again)
    assert first.shape == (3, 3)
    assert not np.isclose(first, other).any()
    for context, start in zip(contexts[:3], origins, strict=False):
        np.testing.assert_allclose(context / 100, returns[:start], rtol=1e-5, atol=1e-9)


def test_what_is_missing_is_named_in_one_line(returns, origins, stand_in, monkeypatch, tmp_path):
    folder, _ = stand_in
    with pytest.raises(ConfigError, match=r"no config.json; name the folder of a Chronos model"):
        forecast_returns(returns, origins, folder / "nowhere")
    (folder / "config.json").write_text("[]")
    with pytest.raises(ConfigError, match=r"cannot be loaded \(Not a Chronos config file\)"):
        forecast_returns(returns, origins, folder)
    monkeypatch.setattr(chronos_forecast, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install chronos-forecasting"):
        forecast_returns(returns, origins, folder)


def bolt(folder):
    """Write a random Chronos-Bolt of two small layers."""
    from chronos.chronos_bolt import ChronosBoltModelForForecasting

    config = small_t5(
        chronos_pipeline_class="ChronosBoltPipeline",
        architectures=["ChronosBoltModelForForecasting"],
        chronos_config={
            "context_length": 128,
            "prediction_length": 8,
            "input_patch_size": 16,
            "input_patch_stride": 16,
            "quantiles": [n / 10 for n in range(1, 10)],
            "use_reg_token": True,
        },
    )
    ChronosBoltModelForForecasting(config).save_pretrained(folder)


def samples(folder):
    """Write a random Chronos, a T5 whose tokens are bins of scaled values."""
    from transformers import T5ForConditionalGeneration

    config = small_t5(
        vocab_size=64,
        architectures=["T5ForConditionalGeneration"],
        chronos_config={
            "tokenizer_class": "MeanScaleUniformBins",
            "tokenizer_kwargs": {"low_limit": -15.0, "high_limit": 15.0},
            "context_length": 128,
            "prediction_length": 8,
            "n_tokens": 64,
            "n_special_tokens": 2,
            "pad_token_id": 0,
            "eos_token_id": 1,
            "use_eos_token": True,
            "model_type": "seq2seq",
            "num_samples": 20,
            "temperature": 1.0,
            "top_k": 50,
            "top_p": 1.0,
        },
    )
    T5ForConditionalGeneration(config).save_pretrained(folder)


def second(folder):
    """Write a random Chronos-2."""
    from chronos.chronos2.config import Chronos2CoreConfig
    from chronos.chronos2.model import Chronos2Model

    config = Chronos2CoreConfig(
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_heads=4,
        architectures=["Chronos2Model"],
        chronos_pipeline_class="Chronos2Pipeline",
        chronos_config={
            "context_length": 128,
            "output_patch_size": 16,
            "input_patch_size": 16,
            "input_patch_stride": 16,
            "quantiles": [n / 10 for n in range(1, 10)],
            "use_reg_token": True,
            "use_arcsinh": True,
        },
    )
    Chronos2Model(config).save_pretrained(folder)


def small_t5(**settings):
    from transformers import T5Config

    shape = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
    shape["initializer_factor"] = 2.0
    return T5Config(**shape, pad_token_id=0, decoder_start_token_id=0, **settings)


@pytest.mark.parametrize("write", [bolt, samples, second])
def test_a_real_model_of_each_family_forecasts_from_what_was_known(
    write, returns, origins, tmp_path
):
    pytest.importorskip("chronos", reason="chronos-forecasting is optional")
    torch.manual_seed(3)
    write(tmp_path)
    forecasts = forecast_returns(returns, origins, tmp_path, np.random.default_rng(1))
    given = forecasts["chronos"]
    assert given.shape == (len(origins), 3)
    three = origins[[0, 1, -1]]
    flipped = np.where(np.arange(len(returns)) < three[1], returns, -returns)
    told, after, double = (
        forecast_returns(seen, three, tmp_path, np.random.default_rng(1))["chronos"]
        for seen in (returns, flipped, 2 * returns)
    )
    np.testing.assert_array_equal(told[:2], after[:2])
    assert (told[2] != after[2]).any()
    # every family scales its context first, so that units are right or off by a constant
    np.testing.assert_allclose(double, 2 * told, rtol=1e-3, atol=1e-6)
    row = compare_forecasts(returns, origins, forecasts)[-1]
    assert row.name == "chronos"
    assert np.isfinite(row.loss)

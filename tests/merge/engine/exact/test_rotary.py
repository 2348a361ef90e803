"""Frequencies against transformers', cosines and sines against float64."""

import numpy as np
import pytest
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from evobourse.merge.engine.exact.rotary import frequencies, turn_table
from evobourse.merge.errors import ModelError

SETTINGS = {
    "default": {},
    "linear": {"factor": 4.0},
    "llama3": {
        "factor": 32.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    },
    "yarn": {"factor": 4.0, "original_max_position_embeddings": 4096},
}


@pytest.mark.parametrize("kind", SETTINGS)
@pytest.mark.parametrize(("theta", "width"), [(10_000.0, 64), (500_000.0, 128), (1e6, 80)])
def test_frequencies_are_transformers(kind, theta, width):
    settings = {"rope_type": kind, "rope_theta": theta, **SETTINGS[kind]}
    found, scale = frequencies(settings, width)
    config = LlamaConfig(
        hidden_size=4 * width, num_attention_heads=4, head_dim=width, rope_parameters=settings,
        max_position_embeddings=32768,
    )  # fmt: skip
    if kind == "default":
        exact = 1 / theta ** (np.arange(0, width, 2) / width)
        assert np.abs(found / exact - 1).max() < 6.1e-8  # rounded once
        return
    theirs, their_scale = ROPE_INIT_FUNCTIONS[kind](config)
    np.testing.assert_allclose(found, theirs.numpy(), rtol=2e-6)
    assert scale == pytest.approx(their_scale)


def test_cosines_and_sines_are_rounded_once():
    inverse, _ = frequencies({"rope_theta": 10_000.0}, 64)
    positions = np.array([0, 1, 2, 3, 1000, 8191, 131_071])
    table = turn_table(inverse, positions)
    angles = (positions.astype(np.float32)[:, None] * inverse).astype(np.float64)
    for found, exact in ((table[:, 0], np.cos(angles)), (table[:, 1], np.sin(angles))):
        assert np.abs(found - exact).max() < 2**-24 * 1.001
    assert np.array_equal(turn_table(inverse, positions, 2.0), 2 * table)


def test_other_types_are_refused_by_name():
    with pytest.raises(ModelError, match="type 'longrope'; known: default, linear"):
        frequencies({"rope_type": "longrope", "rope_theta": 1e4}, 64)
    settings = {"rope_type": "yarn", "rope_theta": 1e4, "mscale": 1.0, "factor": 2.0,
                "original_max_position_embeddings": 4096}  # fmt: skip
    with pytest.raises(ModelError, match="mscale"):
        frequencies(settings, 64)

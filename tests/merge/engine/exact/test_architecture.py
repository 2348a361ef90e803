"""Every architecture in the table against transformers' own fp32 forward, and others refused."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from evobourse.merge.engine.decoder import Decoder
from evobourse.merge.engine.exact.architecture import Architecture
from evobourse.merge.engine.exact.traits import ARCHITECTURES
from evobourse.merge.engine.exact.weights import unpack_groups
from evobourse.merge.engine.int8 import Int8Linear, quantize_int8
from evobourse.merge.engine.parts import Prefix
from evobourse.merge.errors import ModelError

SMALL = {
    "hidden_size": 96,
    "intermediate_size": 176,
    "num_hidden_layers": 4,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "vocab_size": 120,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "tie_word_embeddings": False,
    "initializer_range": 0.1,
}
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 500_000.0, "factor": 8.0, "low_freq_factor": 1.0,
    "high_freq_factor": 4.0, "original_max_position_embeddings": 16,
}  # fmt: skip
KINDS = {
    "llama": ("llama", {}),
    "llama 3, tied": ("llama", {"rope_parameters": LLAMA3, "tie_word_embeddings": True}),
    "llama with biases": ("llama", {"attention_bias": True, "mlp_bias": True, "head_dim": 32}),
    "mistral, windows": ("mistral", {"sliding_window": 7}),
    "qwen2, biases": ("qwen2", {}),
    "qwen2, windows above": (
        "qwen2", {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 2},
    ),
    "qwen3": ("qwen3", {"head_dim": 32}),
    "gemma": ("gemma", {"head_dim": 32}),
    "gemma2": (
        "gemma2",
        {"head_dim": 32, "sliding_window": 6, "query_pre_attn_scalar": 48,
         "attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0},
    ),
    "gemma3": ("gemma3_text", {"head_dim": 32, "sliding_window": 6, "layer_types": None}),
    "phi3, fused, windows": ("phi3", {"sliding_window": 9}),
    "phi3, partly turned": (
        "phi3",
        {"rope_parameters": {
            "rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}},
    ),
    "granite": (
        "granite",
        {"embedding_multiplier": 3.0, "residual_multiplier": 0.22, "attention_multiplier": 0.1,
         "logits_scaling": 4.0},
    ),
    "olmo2": ("olmo2", {}),
}  # fmt: skip


def build(name):
    """A small random model, its config, and the model in INT8."""
    kind, changes = KINDS[name]
    config = AutoConfig.for_model(kind, **SMALL | changes)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    for key, weight in model.named_parameters():
        if weight.dim() == 1:  # norms and biases are drawn, so that a wrong one shows
            torch.nn.init.normal_(weight, 1.0 if "norm" in key else 0.0, 0.3)
    model.config._attn_implementation = "eager"
    rounded = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    rounded.config._attn_implementation = "eager"
    rounded.load_state_dict(model.state_dict())
    quantised = quantize_int8(model)
    for place, layer in quantised.named_modules():
        if isinstance(layer, Int8Linear):  # INT8 times its scale, not rounded further
            weight, scale = unpack_groups(
                layer.weight, layer.scale, layer.in_features, layer.out_features
            )
            steps = scale.float().repeat_interleave(64, 1)[:, : layer.in_features]
            rounded.get_submodule(place).weight.data = weight.float() * steps
    return rounded, quantised


@pytest.mark.parametrize("name", KINDS)
@torch.inference_mode()
def test_a_small_random_model_is_transformers_own_in_fp32(name):
    rounded, quantised = build(name)
    decoder = Decoder(quantised)
    assert decoder.exact
    ids = torch.randint(120, (3, 40), generator=torch.Generator().manual_seed(1))
    expected = rounded(ids).logits
    hidden, _ = decoder.run(decoder.embed(ids.tolist()), 0, decoder.depth)
    logits = decoder.option_logits(hidden.flatten(0, 1), range(120)).view(3, 40, 120)
    spread = expected.std()
    # INT16 activations move it by .0003 to .0017 of its spread; bf16's, by .05 to .33.
    assert (logits - expected).abs().max() < 3e-3 * spread
    # And not so near by chance: another token moves it a thousand times as far.
    assert (expected[0] - expected[1]).abs().max() > spread
    # In two pieces, the same bits.
    first, keys = decoder.run(decoder.embed(ids[:, :25].tolist()), 0, decoder.depth)
    for row in range(3):
        own = Prefix(
            25, {at: pair[:, :, 25 * row : 25 * row + 25] for at, pair in keys.layers.items()}
        )
        rest, _ = decoder.run(
            decoder.embed(ids[row : row + 1, 25:].tolist()), 0, decoder.depth, own
        )
        assert torch.equal(first[row], hidden[row, :25])
        assert torch.equal(rest[0], hidden[row, 25:])


def test_every_architecture_in_the_table_is_tested():
    assert {kind for kind, _ in KINDS.values()} == set(ARCHITECTURES)


@pytest.mark.parametrize(
    ("kind", "changes", "named"),
    [
        ("gpt2", {}, "model_type 'gpt2' is not known; known: llama, mistral"),
        ("cohere", {}, "model_type 'cohere' is not known"),
        ("llama", {"hidden_act": "relu"}, "llama with activation 'relu'"),
        ("gemma3_text", {"use_bidirectional_attention": True}, "use_bidirectional_attention"),
        ("qwen2", {"layer_types": ["linear_attention"] * 4}, "layer type 'linear_attention'"),
        (
            "llama",
            {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}},
            "rotary positions of type 'dynamic'",
        ),
    ],
)
def test_what_is_not_there_is_refused_by_name(kind, changes, named):
    small = SMALL if kind != "gpt2" else {}
    with pytest.raises(ModelError, match=named) as caught:
        Architecture(AutoConfig.for_model(kind, **small | changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["gemma2", "granite", "olmo2"])
def test_what_only_exact_arithmetic_knows_is_refused_without_it(name):
    rounded, _ = build(name)
    with pytest.raises(ModelError, match="runs in INT8 on a processor alone"):
        Decoder(rounded)


def test_a_window_is_refused_only_where_a_text_is_longer():
    rounded, _ = build("mistral, windows")
    decoder = Decoder(rounded)
    decoder.run(decoder.embed([[1] * 7]), 0, 1)
    with pytest.raises(ModelError, match="8 tokens, and its layers see 7"):
        decoder.run(decoder.embed([[1] * 8]), 0, 1)

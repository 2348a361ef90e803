import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from evobourse.merge.engine.adapter_bank import AdapterBank
from evobourse.merge.engine.low_rank import LowRankSite
from evobourse.merge.errors import AdapterError
from evobourse.merge.peft.folder import Adapter, read_adapter
from tests.shared_weights import share_weights

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


@pytest.fixture
def folder(style_folders, tmp_path):
    """A copy of a shipped adapter, to be damaged."""
    return shutil.copytree(style_folders["momentum"], tmp_path / "damaged")


@pytest.fixture(scope="module")
def model(int8_model):
    return share_weights(int8_model)


def rewrite_config(folder, **changes):
    config = json.loads((folder / CONFIG).read_text()) | changes
    (folder / CONFIG).write_text(json.dumps(config))


def rewrite_weights(folder, change):
    weights = load_file(folder / WEIGHTS)
    change(weights)
    save_file(weights, folder / WEIGHTS)


def key_of(weights, end):
    return next(key for key in weights if key.endswith(end))


def refusal(folder):
    with pytest.raises(AdapterError) as caught:
        read_adapter(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert str(folder) in message
    return message


def test_a_shipped_style_is_read_whole(style_folders, tokenizer):
    adapter = read_adapter(style_folders["momentum"])
    assert adapter.name == "momentum"
    assert bytes(tokenizer.decode(list(adapter.invocation_tokens)), "utf8") == b"\nToday:"
    assert sorted({layer for layer, _ in adapter.factors}) == list(range(24, 30))
    modules = {"self_attn.q_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.down_proj"}
    assert {module for _, module in adapter.factors} == modules
    assert all(down.shape[0] == up.shape[1] == 8 for down, up in adapter.factors.values())


@pytest.mark.parametrize(("rslora", "scaling"), [(False, 16 / 8), (True, 16 / 8**0.5)])
def test_the_scaling_is_pefts(folder, rslora, scaling):
    rewrite_config(folder, use_rslora=rslora)
    weights = load_file(folder / WEIGHTS)
    raw = weights[key_of(weights, "layers.25.mlp.down_proj.lora_B.weight")].float()
    torch.testing.assert_close(read_adapter(folder).factors[25, "mlp.down_proj"][1], raw * scaling)


def test_the_hash_follows_weights_and_config(folder, style_folders):
    shipped = read_adapter(style_folders["momentum"]).content_hash
    assert read_adapter(folder).content_hash == shipped
    rewrite_config(folder, lora_alpha=17)
    assert read_adapter(folder).content_hash != shipped


@pytest.mark.parametrize("missing", [CONFIG, WEIGHTS])
def test_a_missing_file_is_named(folder, missing):
    (folder / missing).unlink()
    assert missing in refusal(folder)


@pytest.mark.parametrize("damaged", [CONFIG, WEIGHTS])
def test_an_unreadable_file_is_refused(folder, damaged):
    (folder / damaged).write_bytes(b"\x07\x00 no such format\n\n")
    assert "cannot be read" in refusal(folder)


def test_a_truncated_download_is_refused(folder):
    whole = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(whole[: len(whole) // 2])
    assert "cannot be read" in refusal(folder)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"peft_type": "IA3"}, "peft_type 'IA3'"),
        ({"use_dora": True}, "use_dora"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"trainable_token_indices": [1]}, "trainable_token_indices"),
    ],
)
def test_what_is_not_plain_lora_is_refused(folder, changes, named):
    rewrite_config(folder, **changes)
    assert named in refusal(folder)


def test_weights_beside_the_layers_are_refused(folder):
    rewrite_weights(folder, lambda w: w.update({"base_model.model.lm_head.weight": torch.ones(2)}))
    assert "unexpected weight 'base_model.model.lm_head.weight'" in refusal(folder)


def test_half_an_adapter_is_refused(folder):
    rewrite_weights(folder, lambda w: w.pop(key_of(w, "layers.24.mlp.down_proj.lora_B.weight")))
    assert "layer 24 mlp.down_proj: A and B do not match" in refusal(folder)


def test_ranks_that_differ_are_refused(folder):
    def narrow(weights):
        key = key_of(weights, "layers.29.self_attn.q_proj.lora_A.weight")
        weights[key] = weights[key][:4].contiguous()

    rewrite_weights(folder, narrow)
    assert "layer 29 self_attn.q_proj: A and B do not match" in refusal(folder)


@pytest.mark.parametrize(
    ("place", "factors", "message"),
    [
        (
            (24, "self_attn.q_proj"),
            (torch.ones(2, 64), torch.ones(576, 2)),
            "adapter 'foreign': layer 24 self_attn.q_proj maps 64 to 576, "
            "the base maps 576 to 576; the adapter was trained on another model",
        ),
        (
            (24, "self_attn.v_proj"),
            (torch.ones(2, 576), torch.ones(576, 2)),
            "layer 24 self_attn.v_proj maps 576 to 576, the base maps 576 to 192",
        ),
        (
            (24, "self_attn.c_attn"),
            (torch.ones(2, 576), torch.ones(576, 2)),
            "adapter 'foreign': the base has no linear layer 24 self_attn.c_attn",
        ),
        (
            (30, "self_attn.q_proj"),
            (torch.ones(2, 576), torch.ones(576, 2)),
            "adapter 'foreign': the base has no linear layer 30 self_attn.q_proj",
        ),
        (
            (3, "input_layernorm"),
            (torch.ones(2, 576), torch.ones(576, 2)),
            "adapter 'foreign': the base has no linear layer 3 input_layernorm",
        ),
    ],
)
def test_an_adapter_of_another_model_is_refused(model, style_folders, place, factors, message):
    ours = read_adapter(style_folders["momentum"])
    foreign = Adapter("foreign", {place: factors}, None, "")
    with pytest.raises(AdapterError) as caught:
        AdapterBank(model, (ours, foreign))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_site_adds_the_weighted_sum_of_the_products():
    generator = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(shape, generator=generator)

    ranks, owner = (3, 5, 2), torch.tensor([0] * 3 + [1] * 5 + [2] * 2)
    downs = [normal(r, 32) / 32**0.5 for r in ranks]
    ups = [normal(16, r) / r**0.5 for r in ranks]
    site = LowRankSite(torch.cat(downs), torch.cat(ups, 1), owner, 0)
    hidden, out, weights = normal(6, 4, 32), normal(6, 4, 16), normal(6, 3)
    narrow = hidden.to(torch.bfloat16)
    assert site.add(out, narrow) is out
    site.row_scale = weights[:, None, owner]
    expected = out.clone()
    for k, (down, up) in enumerate(zip(downs, ups, strict=True)):
        expected += weights[:, k, None, None] * (hidden @ down.T @ up.T)
    torch.testing.assert_close(site.add(out, narrow), expected, rtol=2e-2, atol=5e-2)


def test_a_mixture_ends_with_its_block(model, style_folders):
    bank = AdapterBank(model, (read_adapter(style_folders["value"]),), blocks=3)
    assert bank.first_layer == 24
    assert [site.block for site in bank.sites] == [b for b in range(3) for _ in range(8)]
    with bank.mixed(torch.ones(2, 3, 1)):
        assert all(site.row_scale is not None for site in bank.sites)
    assert all(site.row_scale is None for site in bank.sites)
    with pytest.raises(ZeroDivisionError), bank.mixed(torch.ones(2, 3, 1)):
        raise ZeroDivisionError
    assert all(site.row_scale is None for site in bank.sites)
    with bank.mixed(torch.ones(1, 3, 1)):
        with bank.mixed(torch.zeros(1, 3, 1)):
            assert all((site.row_scale == 0).all() for site in bank.sites)
        with bank.mixed(None):
            assert all(site.row_scale is None for site in bank.sites)
        assert all((site.row_scale == 1).all() for site in bank.sites)
    assert all(site.row_scale is None for site in bank.sites)


def test_an_empty_bank_leaves_the_model_alone(model):
    bank = AdapterBank(model, ())
    assert (bank.sites, bank.first_layer) == ([], 30)

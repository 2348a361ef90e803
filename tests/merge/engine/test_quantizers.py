"""torchao and bitsandbytes behind the same layers: exact in every batch, or refused."""

import copy
import importlib.util

import numpy as np
import pytest
import torch
from torch import nn

from evobourse.agents.minds.engine import MindEngine
from evobourse.merge.engine import quantizers
from evobourse.merge.engine.adapter_bank import AdapterBank
from evobourse.merge.engine.batch_invariance import check_batches, varying_length
from evobourse.merge.engine.decoder import Decoder
from evobourse.merge.engine.exact.kernels import ARITHMETIC
from evobourse.merge.engine.int8 import Int8Linear, QuantizedLinear, load_weights
from evobourse.merge.engine.loading import load_quantized
from evobourse.merge.engine.placement import Storage
from evobourse.merge.errors import ModelError
from evobourse.merge.peft.folder import read_adapter
from evobourse.merge.sources import DEFAULT_BASE
from tests.shared_weights import share_weights

OTHERS = ("torchao", "bitsandbytes")
MODULE = "model.layers.12.mlp.down_proj"

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # at their import


@pytest.fixture(scope="module")
def models(int8_model):
    there = [kind for kind in OTHERS if importlib.util.find_spec(kind)]
    loaded = {kind: load_quantized(DEFAULT_BASE, Storage(quantizer=kind))[0] for kind in there}
    return {"groups": int8_model, **loaded}


def need(models, kind):
    if kind not in models:
        pytest.skip(f"needs the extra {kind}")


@pytest.mark.parametrize("kind", OTHERS)
def test_every_layer_is_the_librarys_and_exact_in_every_batch(models, kind):
    need(models, kind)
    layers = [m for m in models[kind].modules() if isinstance(m, QuantizedLinear)]
    assert len(layers) == 7 * 30
    assert not any(
        isinstance(m, Int8Linear | nn.Linear) for m in models[kind].model.layers.modules()
    )
    check_batches(models[kind])
    linear = models[kind].get_submodule(MODULE)
    hidden = torch.randn(257, 9, 1536, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        whole = linear(hidden)
        for rows in (1, 2, 7, 64):
            assert torch.equal(linear(hidden[:rows]), whole[:rows])
            assert torch.equal(linear(hidden[-rows:]), whole[-rows:])


@pytest.mark.parametrize("kind", ["groups", *OTHERS])
def test_the_rounding_is_that_of_8_bits(models, smol, kind):
    need(models, kind)
    """By an identity matrix, whose product is the weight itself."""
    weight = smol[0].get_submodule(MODULE).weight.detach()
    with torch.inference_mode():
        held = models[kind].get_submodule(MODULE).product(torch.eye(1536).bfloat16()).float().T
    assert 0.001 < ((held - weight).norm() / weight.norm()) < 0.02


@pytest.mark.parametrize("kind", OTHERS)
def test_a_merges_weights_take_the_same_way(models, smol, kind):
    need(models, kind)
    model = copy.deepcopy(models[kind])
    before = smol[0].state_dict()
    key = f"{MODULE}.weight"
    hidden = torch.randn(2, 3, 1536, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        plain = model.get_submodule(MODULE)(hidden)
        load_weights(model, {key: 2 * before[key]})
        torch.testing.assert_close(model.get_submodule(MODULE)(hidden), 2 * plain)
        load_weights(model, {key: before[key]})
        assert torch.equal(model.get_submodule(MODULE)(hidden), plain)


def test_answers_are_near_the_whole_precisions_and_never_share_a_key(
    models, smol, tokenizer, style_folders, market_views, total_variation
):
    adapter = read_adapter(style_folders["value"])
    mind, views = np.array([[0.8]], np.float32), market_views[:40]
    keys, answers = set(), {}
    for kind, model in models.items():
        model = share_weights(model)
        engine = MindEngine(model, tokenizer, AdapterBank(model, (adapter,)), "bare")
        answers[kind] = engine.answer(mind, views)
        keys |= set(engine._keys(mind, list(map(engine.view_prompt, views.tolist()))))
        assert kind == "groups" or kind in engine.decoder.engine
    assert len(keys) == len(models) * len(views)
    for kind in models.keys() - {"groups"}:
        assert 0 < total_variation(answers[kind], answers["groups"]).mean() < 0.05


def test_compiled_layers_have_a_key_of_their_own(models):
    compiled = share_weights(models["groups"])
    for module in compiled.modules():
        if isinstance(module, Int8Linear):
            module.compiled = True
    assert Decoder(compiled).engine == "w8a16 compiled"
    assert Decoder(models["groups"]).engine == ARITHMETIC


def test_answers_that_depend_on_the_batch_are_refused(smol):
    """LLM.int8() decides over the whole batch which columns are outliers."""
    bitsandbytes = pytest.importorskip("bitsandbytes")

    class Outliers(QuantizedLinear):
        precision = "LLM.int8()"

        def __init__(self, linear):
            super().__init__(linear)
            self.inner = bitsandbytes.nn.Linear8bitLt(
                self.in_features, self.out_features, bias=False, has_fp16_weights=False,
                threshold=6.0,
            )  # fmt: skip
            weight = bitsandbytes.nn.Int8Params(
                linear.weight.detach().clone(), requires_grad=False, has_fp16_weights=False
            )
            self.inner.weight = weight.to("cpu")

        def product(self, narrow):
            return self.inner(narrow.half())

        def set_weight(self, weight):
            raise AssertionError("not asked here")

    model = share_weights(smol[0])
    for layer in model.model.layers[:2]:
        for parent in (layer.self_attn, layer.mlp):
            for name, child in list(parent.named_children()):
                if isinstance(child, nn.Linear):
                    setattr(parent, name, Outliers(child))
    model.eval()
    assert varying_length(Decoder(model)) is not None
    with pytest.raises(ModelError, match=r"with LLM\.int8\(\) on cpu \w+ a prompt of") as caught:
        check_batches(model)
    assert "\n" not in str(caught.value)


def test_what_is_not_installed_is_said_in_one_line(monkeypatch):
    def missing(name):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(quantizers, "import_module", missing)
    for kind in OTHERS:
        with pytest.raises(ModelError, match=rf"pip install 'evobourse\[{kind}\]'"):
            load_quantized(DEFAULT_BASE, Storage(quantizer=kind))


def test_tiles_give_a_row_the_same_bits_in_every_batch(int8_model, style_folders):
    """As on a GPU, where every batch has one shape: in bf16, near the exact answers."""
    model = share_weights(int8_model)
    bank = AdapterBank(model, (read_adapter(style_folders["value"]),))
    plain, tiled = Decoder(model), Decoder(model, tile_tokens=72)
    assert tiled.engine == "w8a16 in tiles of 72"
    generator = torch.Generator().manual_seed(0)
    rows = plain.embed(torch.randint(49152, (19, 9), generator=generator).tolist())
    mixture = torch.randn(19, 1, 1, generator=generator)
    _, prefix = plain.run(plain.embed([[1, 2, 3, 4]]), 0, 30)

    def run(decoder, part):
        with bank.mixed(mixture[part]):
            return decoder.run(rows[part], 22, 30, prefix)

    whole, own = run(tiled, slice(None))
    exact, _ = run(plain, slice(None))
    torch.testing.assert_close(whole, exact, rtol=0.02, atol=0.02 * float(exact.abs().max()))
    for part in (slice(None), slice(3), slice(5, 14), slice(18, 19)):
        hidden, fresh = run(tiled, part)
        assert torch.equal(hidden, whole[part])
        held, expected = (x.layers[29].unflatten(2, (-1, 9)) for x in (fresh, own))
        assert torch.equal(held, expected[:, :, part])
    hidden, _ = run(plain, slice(3))
    assert torch.equal(hidden, exact[:3])

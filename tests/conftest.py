"""The real 135M model, opened once a session, the engines that the tests make of it, real prices.

Nothing here imports torch before a test asks for a model.
"""

import copy
import ctypes
import fcntl
import gc
import importlib.util
import os
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import settings

from tests.shared_weights import share_weights

settings.register_profile("untimed", deadline=None)  # machines differ; no test is about seconds
settings.load_profile("untimed")

STYLES = ("momentum", "value", "contrarian")
MUCH_BYTES = 100_000_000


def pytest_collection_modifyitems(items):
    """Mark what needs the real model; tests that open it themselves use ``fetched_base``."""
    for item in items:
        if "fetched_base" in item.fixturenames:
            item.add_marker(pytest.mark.model)
    # Files with most that takes long come first, so that no process is left with them at the end.
    long = Counter(
        item.path
        for item in items
        if {"slow", "model"} & {mark.name for mark in item.iter_markers()}
    )
    items.sort(key=lambda item: -long[item.path])


@pytest.fixture(scope="session")
def _cache(tmp_path_factory):
    """One folder for all processes of a run of the tests: the base is fetched into it once."""
    root = tmp_path_factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    (root / "cache").mkdir(exist_ok=True)
    return root / "cache"


@pytest.fixture(scope="session", autouse=True)
def _own_cache(_cache):
    """Keep remembered arrays of the tests, and of the commands that they start, to themselves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVOBOURSE_CACHE", str(_cache))
        yield


@pytest.fixture(scope="module", autouse=True)
def _memory_of_a_module():
    """Give a module's memory back before the next one begins; malloc would keep it."""
    yield
    _give_back()


@pytest.fixture(autouse=True)
def _memory_of_a_test():
    """Give back what a test has left behind, where it is much: cycles, such as models, wait."""
    before = _resident_bytes()
    yield
    if _resident_bytes() - before > MUCH_BYTES:
        _give_back()


def _give_back():
    gc.collect()
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)


def _resident_bytes():
    return psutil.Process().memory_info().rss


@pytest.fixture(scope="session")
def fetched_base(_cache):
    """Fetch the 135M base, one process at a time; what is said of it is no test's output."""
    from evobourse.merge.sources import DEFAULT_BASE, resolve_model

    with (_cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        resolve_model(DEFAULT_BASE)


@pytest.fixture(scope="session")
def smol(fetched_base):
    """SmolLM2-135M-Instruct in fp32 and its tokenizer; to be copied before any change."""
    from evobourse.agents.minds.engine import hash_weights
    from evobourse.merge.sources import load_model

    model, tokenizer = load_model("smollm2-135m-instruct")
    before = hash_weights(model.state_dict())
    yield model, tokenizer
    assert hash_weights(model.state_dict()) == before


@pytest.fixture(scope="session")
def tokenizer(smol):
    return smol[1]


@pytest.fixture(scope="session")
def int8_model(smol):
    """The model in INT8, without adapters; to be copied before any is attached."""
    from evobourse.agents.minds.engine import hash_weights
    from evobourse.merge.engine.int8 import quantize_int8

    model = quantize_int8(share_weights(smol[0]))
    before = hash_weights(model.state_dict())
    yield model
    assert hash_weights(model.state_dict()) == before


@pytest.fixture(scope="session")
def rounded_model(smol, int8_model):
    """A plain fp32 model with the INT8 weights' values: what the engine's oracles run on."""
    from evobourse.merge.engine.int8 import Int8Linear

    model = share_weights(smol[0])
    for name, module in int8_model.named_modules():
        if isinstance(module, Int8Linear):
            model.get_submodule(name).weight.data = module.dequantized().float()
    return model


@pytest.fixture(scope="session")
def style_folders():
    """Three of the shipped style adapters, in the order of the coefficients in all tests."""
    from evobourse import agents

    root = Path(agents.__file__).parent / "adapters"
    return {name: root / name for name in STYLES}


@pytest.fixture(scope="session")
def server(smol):
    """Start a completions server on loopback around the model; `reset` it before each test."""
    place = Path(__file__).with_name("agents") / "completion_server.py"
    spec = importlib.util.spec_from_file_location("completion_server", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    running = module.CompletionServer(*smol)
    yield running
    running.close()


@pytest.fixture(scope="session")
def folded_base(smol, tmp_path_factory):
    """Write the base with a source folded in as a model folder of its own; return its name."""
    import torch

    from evobourse import agents
    from evobourse.merge.recipes.export import export_model
    from evobourse.merge.recipes.recipe import load_source
    from evobourse.merge.sources import DEFAULT_BASE

    source = Path(agents.__file__).parent / "sources" / "value-investor"
    folder = tmp_path_factory.mktemp("models") / "value"
    state = load_source(source.name, source, smol[0].state_dict())
    written, names = "models: value-investor\n", [source.name]
    export_model(folder, state, DEFAULT_BASE, written, names, dtype=torch.bfloat16)
    return str(folder)


@pytest.fixture(scope="session")
def tiny_llama():
    """Build a random Llama of a given depth."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    def build(seed, tied=False, vocabulary=100, layers=2):
        torch.manual_seed(seed)
        config = LlamaConfig(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=layers,
            num_attention_heads=4,
            num_key_value_heads=2,
            vocab_size=vocabulary,
            tie_word_embeddings=tied,
            initializer_range=0.2,
        )
        return LlamaForCausalLM(config).eval()

    return build


@pytest.fixture(scope="session")
def tiny_models(tiny_llama, tmp_path_factory):
    """Three model folders with one tokenizer, the first tied."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    root = tmp_path_factory.mktemp("models")
    words = Tokenizer(models.WordLevel({f"w{n}": n for n in range(100)}, unk_token="w0"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="w0")
    for seed, name in enumerate(("base", "one", "two")):
        tiny_llama(seed, tied=True).save_pretrained(root / name)
        tokenizer.save_pretrained(root / name)
    return {name: root / name for name in ("base", "one", "two")}


@pytest.fixture(scope="session")
def make_engine(smol, int8_model):
    """Open an engine on PEFT folders; one that is given other weights needs its own."""

    def make(folders, blocks=1, own_weights=False):
        from evobourse.agents.minds.engine import MindEngine
        from evobourse.merge.engine.adapter_bank import AdapterBank
        from evobourse.merge.peft.folder import read_adapter

        model = (copy.deepcopy if own_weights else share_weights)(int8_model)
        bank = AdapterBank(model, tuple(map(read_adapter, folders)), blocks)
        return MindEngine(model, smol[1], bank, "bare")

    return make


@pytest.fixture(scope="session")
def style_engine(make_engine, style_folders):
    return make_engine(style_folders.values())


@pytest.fixture(scope="session")
def fresh_engine(style_engine, tokenizer):
    """Make engines that remember nothing, all on one model and one bank of style adapters."""

    def make():
        from evobourse.agents.minds.engine import MindEngine

        model, bank = style_engine.decoder.model, style_engine.bank
        return MindEngine(model, tokenizer, bank, "bare")

    return make


@pytest.fixture(scope="session")
def sp500():
    from evobourse.market.series.named import load_series

    return load_series("sp500")


@pytest.fixture(scope="session")
def market_views(sp500):
    """128 different views that investors of the real S&P 500 had, most fields visible."""
    from evobourse.agents.training.examples import real_levels, sample_views

    levels = real_levels(sp500.close, sp500.volume)
    views = sample_views(levels, 1000, 6, np.random.default_rng(0))
    return np.random.default_rng(1).permutation(np.unique(views))[:128]


@pytest.fixture(scope="session")
def total_variation():
    """Distance of two choices given by logits [n, 5]: float64[n] in 0..1."""

    def distance(first, second):
        from scipy.special import softmax

        first, second = (softmax(np.asarray(x, np.float64), axis=1) for x in (first, second))
        return np.abs(first - second).sum(axis=1) / 2

    return distance


@pytest.fixture(scope="session")
def population():
    """Build a population of one persona a mixture, with any setting of the society changed."""

    def build(mixtures, mask=None, temperature=1.0, **society):
        from evobourse.agents.observation import FIELD_NAMES
        from evobourse.agents.personas.persona import Persona, Population, Society

        personas = tuple(
            Persona(f"p{n}", "of a test", (tuple(row),), temperature, 1.0 + n)
            for n, row in enumerate(mixtures)
        )
        masks = dict.fromkeys(FIELD_NAMES, 0.2) | (mask or {})
        return Population(personas, Society(masks, **society))

    return build


@pytest.fixture(scope="session")
def offsets(sp500):
    from evobourse.agents.crowds.offsets import fit_offsets

    training = sp500.slice(0, 2000)
    return fit_offsets(training.high, training.low, training.close)

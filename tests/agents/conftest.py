"""PEFT's models of the shipped styles, small markets of minds that are no models, tiny adapters."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from evobourse.agents.observation import decode_view
from tests.shared_weights import share_weights


@dataclass(frozen=True)
class Seen:
    """Views of real days, and the days' windows."""

    views: np.ndarray
    windows: np.ndarray


@pytest.fixture(scope="session")
def ordinary_folders(style_folders, tmp_path_factory):
    """The shipped styles' weights as ordinary LoRA, which acts on the whole prompt."""
    root = tmp_path_factory.mktemp("ordinary")
    for name, folder in style_folders.items():
        shutil.copytree(folder, root / name)
        config = json.loads((folder / "adapter_config.json").read_text())
        config["alora_invocation_tokens"] = None
        (root / name / "adapter_config.json").write_text(json.dumps(config))
    return {name: root / name for name in style_folders}


@pytest.fixture(scope="module")
def ordinary_engine(make_engine, ordinary_folders):
    return make_engine(ordinary_folders.values())


@pytest.fixture(scope="module")
def few(market_views):
    """24 of the market's views that show three or five fields: two lengths of prompt."""
    count = (decode_view(market_views) >= 0).sum(axis=1)
    return market_views[np.isin(count, (3, 5))][:24]


@pytest.fixture(scope="session")
def open_peft():
    """Load folders as named adapters of PEFT on a model, whose weights must not be changed."""

    def load(model, folders):
        from peft import PeftModel

        (first, folder), *others = folders.items()
        tuned = PeftModel.from_pretrained(share_weights(model), folder, adapter_name=first)
        for name, other in others:
            tuned.load_adapter(other, adapter_name=name)
        return tuned.eval()

    return load


@pytest.fixture(scope="session")
def read_whole(style_engine):
    """Ask a transformers model with the full prompt, one by one: float32[n, 5]."""

    def read(model, views: Sequence[int]):
        import torch

        rows = []
        with torch.inference_mode():
            for view in views:
                ids = torch.tensor([style_engine.prompt_tokens(int(view))])
                rows.append(
                    model(input_ids=ids, logits_to_keep=1).logits[0, -1, style_engine.options]
                )
        return torch.stack(rows).numpy()

    return read


@pytest.fixture(scope="session")
def trade(sp500, offsets):
    """Run markets side by side, one a (population, seed), and return their full tapes."""

    def run(parts, minds, n_agents=80, days=20):
        from evobourse.agents.crowds.persona_crowd import PersonaCrowd, history_ticks
        from evobourse.agents.minds.choices import tabulate_choices
        from evobourse.market.daily_auction import Market, simulate
        from evobourse.market.rules import MarketRules

        history = history_ticks(sp500.close[:1000])
        markets, crowds = [], []
        tables = tabulate_choices([population for population, _ in parts], minds)
        for (population, seed), choices in zip(parts, tables, strict=True):
            crowd_rng, market_rng = np.random.default_rng(seed).spawn(2)
            crowd = PersonaCrowd(population, choices, offsets, n_agents, crowd_rng)
            rules = MarketRules(fee_bps=5)
            markets.append(Market(rules, history, crowd.accounts(), market_rng, "full"))
            crowds.append(crowd)
        return simulate(markets, crowds, days)

    return run


@pytest.fixture(scope="session")
def seen(sp500):
    """What investors saw on 48 real days: all price signs or none, and some of the others."""
    from evobourse.agents.encodings.window import real_windows, widen
    from evobourse.agents.training.examples import real_levels, sample_days

    part = sp500.slice(0, 700)
    levels = real_levels(part.close, part.volume)
    days, views = sample_days(levels, 48, 3, np.random.default_rng(5))
    return Seen(widen(views, levels[days]), real_windows(part.close)[days])


@pytest.fixture(scope="session")
def train_tiny(smol, seen):
    """Train an adapter of an encoding for three steps on a copy of the real model."""

    def train(name, folder):
        from evobourse.agents.encodings.encoding import Encoding
        from evobourse.agents.training.examples import labelled_dataset
        from evobourse.agents.training.supervised import TrainingConfig, train_adapter

        encoding = Encoding(name)
        record = {"styles": ["momentum"], "series": "sp500", "years": ["1999", "2001"]}
        record |= {"encoding": name} if encoding.numeric else {}
        windows = seen.windows if encoding.numeric else None
        data = labelled_dataset(seen.views, ("momentum",), windows=windows)
        settings = TrainingConfig(rank=2, top_layers=2, steps=3, batch=4, seed=11)
        model = share_weights(smol[0])
        train_adapter(name, data, model, smol[1], settings, folder, record, encoding=encoding)
        return folder / name

    return train


@pytest.fixture(scope="session")
def tiny(train_tiny, tmp_path_factory):
    """Folders of two tiny adapters, one an encoding of numbers."""
    root = tmp_path_factory.mktemp("encodings")
    return {name: train_tiny(name, root) for name in ("digits", "patches")}

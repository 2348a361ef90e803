"""PEFT's own models of the shipped styles, and small markets of minds that are no models."""

import copy
import json
import shutil
from collections.abc import Sequence

import numpy as np
import pytest


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


@pytest.fixture(scope="session")
def open_peft():
    """Load folders as named adapters of PEFT on a copy of a model."""

    def load(model, folders):
        from peft import PeftModel

        (first, folder), *others = folders.items()
        tuned = PeftModel.from_pretrained(copy.deepcopy(model), folder, adapter_name=first)
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
                rows.append(model(input_ids=ids).logits[0, -1, style_engine.options])
        return torch.stack(rows).numpy()

    return read


@pytest.fixture(scope="session")
def trade(sp500, offsets):
    """Run markets side by side, one a (population, seed), and return their full tapes."""

    def run(parts, minds, n_agents=80, days=20):
        from agents.crowd import PersonaCrowd, history_ticks, tabulate_choices
        from market.daily_auction import Market, simulate
        from market.rules import MarketRules

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

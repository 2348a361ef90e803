import copy
import json

import numpy as np
import pytest

from evobourse.agents.minds.choices import tabulate_choices
from evobourse.agents.minds.engine import hash_weights
from evobourse.agents.observation import possible_views
from evobourse.agents.training.experience import Experience

VIEWS = possible_views(1)
PAYS = np.array([-2.0, -1.0, 0.5, 1.0, 3.0])  # of each option, whatever the view


def gather(choices, rng, decisions=4000):
    """Decide by cumulated choices [V, 5] in random views; option k pays `PAYS[k]` and noise."""
    view = rng.integers(len(choices), size=decisions)
    chosen = (rng.random(decisions)[:, None] >= choices[view]).sum(axis=1)
    reward = PAYS[chosen] * (1 + view % 2) + rng.normal(size=decisions)
    where = np.ravel_multi_index((view, chosen), choices.shape)
    shape = (1, *choices.shape)
    sums = (np.bincount(where, reward**k, choices.size).reshape(shape) for k in (0, 1, 2))
    counts, rewards, squares = sums
    return Experience(counts.astype(np.int64), rewards, squares), reward.std()


def test_the_estimate_is_the_exact_gradient_on_average():
    import torch
    from torch.distributions import Categorical

    from evobourse.agents.training.reinforcement import cumulate, surrogate_loss

    rng = np.random.default_rng(0)
    logits = torch.tensor(rng.normal(size=(6, 5)), requires_grad=True)
    policy = Categorical(logits=logits.detach())
    estimates = []
    for _ in range(200):
        experience, scale = gather(cumulate(policy), rng)
        [advantages] = torch.from_numpy(experience.advantages())
        loss = surrogate_loss(Categorical(logits=logits), advantages, policy, 0.0)
        [gradient] = torch.autograd.grad(loss, logits)
        estimates.append(-scale * gradient.numpy())
    p = policy.probs.numpy()
    worth = PAYS * (1 + np.arange(6) % 2)[:, None]
    exact = p * (worth - (p * worth).sum(axis=1, keepdims=True)) / 6
    error = np.std(estimates, axis=0) / 200**0.5
    assert (np.abs(np.mean(estimates, axis=0) - exact) < 4.5 * error).all()
    assert np.abs(exact).max() > 20 * error.max()


@pytest.mark.parametrize(("penalty", "stays"), [(0.0, False), (1e3, True)])
def test_a_huge_penalty_keeps_the_style(penalty, stays):
    import torch
    from torch.distributions import Categorical

    from evobourse.agents.training.reinforcement import cumulate, surrogate_loss

    rng = np.random.default_rng(1)
    start = torch.tensor(2 * rng.normal(size=(6, 5)))
    logits = start.clone().requires_grad_()
    optimizer = torch.optim.Adam([logits], lr=0.1)
    style = Categorical(logits=start)
    for _ in range(300):
        policy = Categorical(logits=logits)
        experience, _ = gather(cumulate(policy), rng)
        [advantages] = torch.from_numpy(experience.advantages())
        optimizer.zero_grad()
        surrogate_loss(policy, advantages, style, penalty).backward()
        optimizer.step()
    after = Categorical(logits=logits.detach())
    if stays:
        assert (after.probs - style.probs).abs().max() < 0.02
    else:
        assert (after.probs.argmax(dim=1) == 4).all()
        assert (style.probs.argmax(dim=1) != 4).any()


def test_choices_are_those_that_a_market_takes_of_the_engine(style_engine, population):
    import torch

    from evobourse.agents.training.reinforcement import cumulate, make_policy

    who = population([[1.0, 0.0, 0.0]], attention=2, temperature=0.7)
    [tabulated] = tabulate_choices([who], style_engine)
    answers = style_engine.answer(who.personas[0].mind, possible_views(2))
    policy = make_policy(torch.from_numpy(answers), 0.7)
    np.testing.assert_allclose(cumulate(policy), tabulated[0], atol=1e-5)


@pytest.fixture(scope="module")
def refine(smol, style_folders):
    """Refine a shipped style for two steps on toy rewards."""
    from evobourse.agents.training.reinforcement import ReinforcementConfig, refine_adapter

    model = copy.deepcopy(smol[0])

    def run(folder, **settings):
        config = ReinforcementConfig(**{"iterations": 2, "learning_rate": 1e-3, **settings})
        tables = []

        def play(iteration, choices):
            tables.append(choices)
            return gather(choices, np.random.default_rng(iteration))[0]

        record = {"styles": ["momentum"], "series": "sp500", "years": ["1999", "2006"]}
        source = style_folders["momentum"]
        out = folder / "momentum"
        steps = refine_adapter(source, model, smol[1], VIEWS, play, config, out, record)
        return out, steps, tables, model

    return run


@pytest.fixture(scope="module")
def refined(refine, tmp_path_factory):
    return refine(tmp_path_factory.mktemp("refined"))


def test_it_starts_at_the_style_and_moves(refined, population, make_engine, style_folders):
    folder, steps, tables, _ = refined
    assert steps[0].kl == pytest.approx(0, abs=1e-6)
    assert steps[1].kl > 1e-3
    assert steps[0].agreement == 1
    engine = make_engine([style_folders["momentum"], folder])
    shipped, learned = tabulate_choices(
        [population([row], attention=1) for row in ([1.0, 0.0], [0.0, 1.0])], engine
    )
    # Trained in fp32, used in INT8: the same adapter but for the rounding.
    assert np.abs(shipped[0] - tables[0]).max() < 0.1
    assert np.abs(learned[0] - shipped[0]).max() > 0.01


def test_its_folder_tells_how_it_was_made(refined, tokenizer):
    from evobourse.agents.training.supervised import PROVENANCE
    from evobourse.merge.peft.folder import read_adapter

    folder, steps, _, _ = refined
    record = json.loads((folder / PROVENANCE).read_text())
    assert record["rewards_bp"] == [step.reward for step in steps]
    assert record["kl_nats"] == [step.kl for step in steps]
    assert record["settings"]["rewards"] == {"discount": 0.9, "risk_aversion": 0.0}
    assert record["styles"] == ["momentum"]
    assert "refined by 2 steps" in (folder / "README.md").read_text()
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "HuggingFaceTB/SmolLM2-135M-Instruct"
    adapter = read_adapter(folder)
    assert tokenizer.decode(list(adapter.invocation_tokens)) == "\nToday:"


def test_the_base_is_left_as_it_was(refined, smol):
    _, _, _, model = refined
    assert list(model.state_dict()) == list(smol[0].state_dict())
    assert hash_weights(model.state_dict()) == hash_weights(smol[0].state_dict())


def test_the_same_seed_makes_the_same_bytes(refined, refine, tmp_path):
    folder, steps, _, _ = refined
    again, found, _, _ = refine(tmp_path)
    assert found == steps
    assert sorted(p.name for p in again.iterdir()) == sorted(p.name for p in folder.iterdir())
    for path in folder.iterdir():
        assert (again / path.name).read_bytes() == path.read_bytes()


def test_the_trunk_is_only_a_saving(refined, refine, tmp_path, monkeypatch):
    from contextlib import nullcontext

    from evobourse.agents.training import reinforcement

    _, steps, tables, _ = refined
    monkeypatch.setattr(reinforcement, "_trunk_once", lambda *_: nullcontext())
    _, found, whole, _ = refine(tmp_path)
    assert found == steps
    np.testing.assert_array_equal(whole, tables)

"""Reinforcement: a style adapter learns from its own profit, at a price for leaving the style.

Whoever calls plays the markets, and reports what decisions earned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.distributions import Categorical, kl_divergence

from evobourse.agents.training.choice_reader import choice_reader
from evobourse.agents.training.experience import Experience
from evobourse.agents.training.rewards import RewardRules
from evobourse.agents.training.supervised import save_adapter

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Play = Callable[[int, NDArray[np.float64]], Experience]
"""Takes an iteration and choices float64[V, 5], cumulated; plays, and returns the experience of
those who chose so, one persona's: P = 1."""


@dataclass(frozen=True)
class ReinforcementConfig:
    """Settings of one adapter's refinement.

    Attributes
    ----------
    iterations
        Steps of the policy gradient, each on fresh markets.
    markets
        Played for each of them.
    learning_rate
        Of AdamW.
    kl_penalty
        Price of a nat of mean divergence from the style, in standard deviations of a decision's
        reward.
    least_agreement
        Training ends with the last step after which the likeliest choice was the style's in at
        least this part of all views.
    temperature
        At which the adapter's choices are drawn.
    rewards
        What counts as a good decision.
    seed
        Of all markets.
    """

    iterations: int = 12
    markets: int = 16
    learning_rate: float = 3e-4
    kl_penalty: float = 0.1
    least_agreement: float = 0.92
    temperature: float = 1.0
    rewards: RewardRules = field(default_factory=RewardRules)
    seed: int = 0


@dataclass(frozen=True)
class Step:
    """What an iteration found, before it changed anything.

    Attributes
    ----------
    reward
        Mean of a decision, in basis points of its agent's wealth.
    kl
        Mean divergence from the style over all views, in nats.
    agreement
        In how large a part of all views the likeliest choice is still the style's.
    """

    reward: float
    kl: float
    agreement: float


def refine_adapter(
    source: Path,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    views: NDArray[np.int64],
    play: Play,
    config: ReinforcementConfig,
    folder: Path,
    provenance: dict[str, Any],
    on_step: Callable[[int, Step], None] = lambda iteration, step: None,
) -> list[Step]:
    """Refine an adapter by policy gradient and write it as a PEFT folder with its provenance.

    Each iteration asks the adapter for its choices in all views at once, plays with them, and
    goes one step of REINFORCE on what came out (Williams 1992, Machine Learning 8): thousands of
    decisions, one backward pass.

    Parameters
    ----------
    source
        PEFT folder of the style, which stays as it is.
    model, tokenizer
        The base in fp32; left as it was.
    views
        All that can be met, int64[V].
    play
        See `Play`.
    config
        Settings.
    folder
        Where it is written, whole or not at all: as `agents.training.supervised.train_adapter`
        does.
    provenance
        Further entries for ``provenance.json``, beside settings and the curve of all steps.
    on_step
        Called with each iteration's number, from 1, and what it found.
    """
    from accelerate import Accelerator
    from accelerate.utils import set_seed
    from peft import PeftModel

    set_seed(config.seed)
    tuned = PeftModel.from_pretrained(model, source, is_trainable=True)
    activated = tuned.peft_config["default"].alora_invocation_tokens is not None
    accelerator = Accelerator()
    trained = [p for p in tuned.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=config.learning_rate)
    tuned, optimizer = accelerator.prepare(tuned, optimizer)
    read = choice_reader(tuned, tokenizer, accelerator.device, shared_prefix=activated)
    style: Categorical | None = None
    steps: list[Step] = []
    kept: list[torch.Tensor] = []
    with _trunk_once(model, tuned.peft_config["default"].layers_to_transform):
        for iteration in range(config.iterations + 1):
            policy = make_policy(read(views.tolist()), config.temperature)
            style = style or Categorical(logits=policy.logits.detach())
            if agreement(policy, style) < config.least_agreement:
                for weight, before in zip(trained, kept, strict=True):
                    weight.data.copy_(before)
                break
            if iteration == config.iterations:
                break
            experience = play(iteration, cumulate(policy))
            steps.append(_look(policy, style, experience))
            on_step(len(steps), steps[-1])
            [advantages] = torch.from_numpy(experience.advantages()).to(policy.logits)
            accelerator.backward(surrogate_loss(policy, advantages, style, config.kl_penalty))
            kept = [weight.detach().clone() for weight in trained]
            optimizer.step()
            optimizer.zero_grad()
    tuned = accelerator.unwrap_model(tuned)
    record = {
        **provenance,
        "rewards_bp": [step.reward for step in steps],
        "kl_nats": [step.kl for step in steps],
        "agreement": [step.agreement for step in steps],
        "settings": {**asdict(config), "activated": activated},
    }
    save_adapter(tuned, folder, record, _card(folder.name, record))
    tuned.unload()
    return steps


def make_policy(logits: torch.Tensor, temperature: float) -> Categorical:
    """Turn option logits [V, 5] over all views into choices, as `tabulate_choices` does.

    What the mean over all views leans to, neither way, is taken off.
    """
    mean = logits.mean(dim=0)
    return Categorical(logits=(logits - (mean - mean.flip(0)) / 2) / temperature)


def cumulate(policy: Categorical) -> NDArray[np.float64]:
    """Return a policy's choices, cumulated: float64[V, 5], the last column 1."""
    cumulative = policy.probs.detach().cpu().double().cumsum(dim=1).numpy()
    return np.asarray(cumulative / cumulative[:, -1:])


def agreement(policy: Categorical, style: Categorical) -> float:
    """Say in how large a part of all views the likeliest choice of both is the same."""
    same = policy.logits.argmax(dim=1) == style.logits.argmax(dim=1)
    return float(same.float().mean())


def surrogate_loss(
    policy: Categorical, advantages: torch.Tensor, style: Categorical, kl_penalty: float
) -> torch.Tensor:
    """Return a number whose gradient is minus the policy gradient, plus the penalty's.

    Parameters
    ----------
    policy
        Choices in V views.
    advantages
        float[V, 5], see `agents.training.experience.Experience.advantages`.
    style
        What the choices were before.
    kl_penalty
        Price of a nat of the mean over all views of ``KL(policy || style)``, met or not.
    """
    gain = (advantages * policy.logits).sum()
    return -gain + kl_penalty * kl_divergence(policy, style).mean()


class _Trunk(nn.Module):
    """Layers below all that is trained: what they make of the same views is the same each time."""

    def __init__(self, layers: Sequence[nn.Module]):
        super().__init__()
        self._layers = layers
        self._made: torch.Tensor | None = None

    def forward(self, hidden: torch.Tensor, *rest: Any, **named: Any) -> torch.Tensor:
        if self._made is None:
            with torch.no_grad():
                for layer in self._layers:
                    hidden = layer(hidden, *rest, **named)
            self._made = hidden
        return self._made


@contextmanager
def _trunk_once(model: Any, adapted: Sequence[int] | None) -> Iterator[None]:
    """Compute the layers below the adapted ones (None: all are) once, for the first views read."""
    layers = model.model.layers
    first = min(adapted) if adapted else 0
    if first:
        model.model.layers = nn.ModuleList([_Trunk(list(layers[:first])), *layers[first:]])
    try:
        yield
    finally:
        model.model.layers = layers


def _look(policy: Categorical, style: Categorical, experience: Experience) -> Step:
    with torch.no_grad():
        kl = float(kl_divergence(policy, style).mean())
    return Step(1e4 * float(experience.mean_reward()[0]), kl, agreement(policy, style))


def _card(name: str, record: dict[str, Any]) -> str:
    rewards = record["rewards_bp"]
    return (
        f"# {name}\n\nThe style adapter of that name, refined by {len(rewards)} steps of policy "
        f"gradient on its own profit in simulated markets that begin in {record['series']} "
        f"windows of {record['years'][0]} to {record['years'][1]}, with a penalty for leaving the "
        "style. How it was made is in `provenance.json`. A style, not a forecast.\n"
    )

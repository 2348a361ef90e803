"""What is understood of a base, adapters, sources or prices, before a sweep takes them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evobourse.experiments.errors import ConfigError
from evobourse.market.series.files import ENDINGS
from evobourse.market.series.named import SERIES_NAMES
from evobourse.market.tape.daily_tape import is_tape

if TYPE_CHECKING:
    from transformers import PretrainedConfig

Facts = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Understood:
    """One input.

    Attributes
    ----------
    kind
        ``base``, ``adapter``, ``source`` or ``prices``.
    name
        As it was given, or its folder's name.
    facts
        What was understood, in words: a name and what it is.
    ignored
        What says nothing that is computed here, and is left out.
    refused
        Why it cannot be used; None where it can.
    """

    kind: str
    name: str
    facts: Facts = ()
    ignored: tuple[str, ...] = ()
    refused: str | None = None


def examine(target: str, base: str) -> list[Understood]:
    """Open a base, adapters and sources over a base, or prices, as a sweep would.

    Parameters
    ----------
    target
        A model's folder or name, an adapter's folder, a folder of adapters or of sources, a file of
        prices or a series' name.
    base
        What adapters and sources are for.

    Returns
    -------
    list of Understood
        One each, by name.

    Raises
    ------
    ConfigError
        The folder holds nothing of the kind.
    merge.errors.MergeError, agents.errors.AgentError, market.errors.MarketError
        Of a target that is one thing: why it cannot be used.
    """
    folder = Path(target).expanduser()
    if (folder / "adapter_config.json").is_file():
        return [_adapter(folder, base)]
    if folder.is_dir() and not (folder / "config.json").is_file() and not is_tape(folder):
        return _several(folder, base)
    if folder.is_file() or is_tape(folder) or target in SERIES_NAMES or folder.suffix in ENDINGS:
        return [_prices(target)]
    return [_base(target)]


def _several(folder: Path, base: str) -> list[Understood]:
    """Examine all adapters and sources in a folder; what is wrong with one is told of it."""
    from evobourse.merge.errors import MergeError
    from evobourse.merge.sources import source_folders

    found = []
    for path in source_folders(folder):
        is_adapter = (path / "adapter_config.json").is_file()
        try:
            found.append(_adapter(path, base) if is_adapter else _source(path, base))
        except MergeError as error:
            kind = "adapter" if is_adapter else "source"
            found.append(Understood(kind, path.name, refused=str(error)))
    if not found:
        raise ConfigError(
            f"{folder}: no model (config.json), no adapter (adapter_config.json), and no folder of "
            "either in it"
        )
    return found


def _base(name: str) -> Understood:
    from evobourse.agents.minds.endpoint import is_endpoint, parse_endpoint

    if is_endpoint(name):
        return Understood("base", name, (("server, not asked", str(parse_endpoint(name))),))
    from evobourse.agents.minds.engine import MindEngine
    from evobourse.agents.minds.self_check import prove_base
    from evobourse.merge.engine.adapter_bank import AdapterBank
    from evobourse.merge.engine.loading import load_quantized

    model, tokenizer, base_hash = load_quantized(name)
    proof = prove_base(name, model, tokenizer, base_hash)
    engine = MindEngine(model, tokenizer, AdapterBank(model, ()), base_hash)
    shown = [repr(tokenizer.decode([token])) for token in engine.tokens.start]
    facts = (
        *_shape(model.config),
        ("weights", f"whole, finite; sha256 {base_hash[:12]}"),
        (
            "answers",
            f"as transformers' own forward: correlation {proof.correlation:.4f}, worst total "
            f"variation {proof.variation:.4f}, over {proof.prompts} prompts",
        ),
        ("prompts", f"{len(engine.rules)} tokens of rules, begun by {', '.join(shown) or 'none'}"),
        ("invocation", f"tokens {list(engine.invocation)}"),
        ("options", f"tokens {engine.options}"),
    )
    return Understood("base", name, facts, _unknown_fields(name))


def _adapter(folder: Path, base: str) -> Understood:
    from evobourse.agents.observation import INVOCATION, render_rules
    from evobourse.merge.engine.prompt_tokens import PromptTokens
    from evobourse.merge.errors import AdapterError
    from evobourse.merge.model_config import read_config
    from evobourse.merge.model_folder import empty_model, linear_layers
    from evobourse.merge.peft.folder import read_adapter
    from evobourse.merge.sources import load_tokenizer, resolve_model

    linears = linear_layers(empty_model(base, read_config(base, resolve_model(base))))
    adapter = read_adapter(folder, linears)
    awake = adapter.invocation_tokens
    opening = PromptTokens(load_tokenizer(base)).cut(render_rules(), INVOCATION)[1]
    if awake is not None and awake != opening:
        raise AdapterError(
            f"adapter {folder}: activates on tokens {list(awake)}, the prompt's are "
            f"{list(opening)}; it was trained for another prompt or vocabulary"
        )
    ranks = sorted({down.shape[0] for down, _ in adapter.factors.values()})
    layers = sorted({layer for layer, _ in adapter.factors})
    modules = sorted({module.rpartition(".")[2] for _, module in adapter.factors})
    size = np.sqrt(sum(float((up @ down).square().sum()) for down, up in adapter.factors.values()))
    facts = (
        ("rank", ", ".join(map(str, ranks))),
        ("layers", f"{len(layers)}: {layers[0]} to {layers[-1]}"),
        ("modules", ", ".join(modules)),
        ("acts", "on the whole prompt" if awake is None else "from the invocation on"),
        ("norm of the update", f"{size:.3g}" if size else "0: it changes nothing"),
    )
    return Understood("adapter", folder.name, facts)


def _source(folder: Path, base: str) -> Understood:
    from evobourse.merge.model_config import check_source, read_config
    from evobourse.merge.model_folder import check_weights
    from evobourse.merge.sources import check_vocabulary, load_tokenizer, resolve_model

    name = str(folder)
    config = read_config(name, folder)
    check_source(folder.name, config, read_config(base, resolve_model(base)))
    check_vocabulary(folder.name, load_tokenizer(name), load_tokenizer(base))
    check_weights(name, folder)
    return Understood("source", folder.name, (*_shape(config), ("weights", "whole, finite")))


def _prices(target: str) -> Understood:
    from evobourse.experiments.scoring.daily import read_daily

    daily = read_daily(target)
    moves = daily.log_returns
    facts = (
        ("days", f"{len(moves) + 1}, {daily.span}"),
        ("moves", f"{moves.std():.2%} a day, {moves.min():+.1%} to {moves.max():+.1%}"),
        ("unmoved days", f"{int((moves == 0).sum())}"),
        ("volume", "none" if not daily.volume.any() else f"{daily.volume.mean():.3g} a day"),
    )
    return Understood("prices", daily.name, facts)


def _shape(config: PretrainedConfig) -> Facts:
    tied = "the embedding" if config.tie_word_embeddings else "of its own"
    heads = f"{config.num_attention_heads} heads, {config.num_key_value_heads} of keys"
    return (
        ("model", f"{config.model_type}, {config.num_hidden_layers} layers, {heads}"),
        ("width", f"{config.hidden_size}, vocabulary {config.vocab_size}, head {tied}"),
        ("longest prompt", f"{config.max_position_embeddings} tokens"),
    )


def _unknown_fields(name: str) -> tuple[str, ...]:
    """List fields of a config that transformers does not know."""
    from dataclasses import fields

    from transformers import AutoConfig, PretrainedConfig

    from evobourse.merge.sources import resolve_model

    path = resolve_model(name)
    raw, config = PretrainedConfig.get_config_dict(path)[0], AutoConfig.from_pretrained(path)
    known = {field.name for field in fields(config)} | set(config.attribute_map)
    known |= {"model_type", "_name_or_path", "torch_dtype", "rope_theta", "rope_scaling"}
    return tuple(sorted(key for key in raw if key not in known))


def as_plain(found: list[Understood]) -> list[dict[str, Any]]:
    """Return plain JSON values."""
    return [
        {
            "kind": one.kind,
            "name": one.name,
            "understood": dict(one.facts),
            "ignored": list(one.ignored),
            "refused": one.refused,
        }
        for one in found
    ]

"""Minds as adapters: low-rank cores, and a whole mixture written as one PEFT LoRA folder.

A mixture is ``sum_k c[k, block] B_k C_k A_k``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from safetensors.torch import save_file

from evobourse.merge.errors import AdapterError
from evobourse.merge.peft.folder import Adapter, block_of
from evobourse.merge.sources import public_name

Factors = tuple[torch.Tensor, torch.Tensor]


def principal_factors(adapter: Adapter) -> Adapter:
    """Turn each pair of factors to its principal directions; their product stays.

    A core then means the same everywhere: its first row and column are the strongest direction
    of the update at each place (LoRA-XS: Balazy et al. 2024, arXiv:2405.17604).

    Returns
    -------
    Adapter
        ``A = sqrt(S) V'`` and ``B = U sqrt(S)`` of the singular value decomposition of ``B A``,
        strongest first; the largest entry of each direction in B is positive.
    """
    factors = {place: _principal(*pair) for place, pair in adapter.factors.items()}
    digest = hashlib.sha256(f"principal {adapter.content_hash}".encode()).hexdigest()
    return Adapter(adapter.name, factors, adapter.invocation_tokens, digest)


def mix_adapters(
    name: str,
    adapters: Sequence[Adapter],
    coefficients: NDArray[np.float32],
    cores: NDArray[np.float32] | None = None,
) -> Adapter:
    """Write a mixture as one adapter, exactly: factors are concatenated and ranks add up.

    Parameters
    ----------
    name
        Of the result.
    adapters
        In the order of the coefficients.
    coefficients
        float[blocks, K], as in `merge.engine.adapter_bank.AdapterBank.mixed`.
    cores
        float[blocks, K, r, r], or None for the identity.

    Raises
    ------
    AdapterError
        Shapes do not match, or adapters do not wait for the same invocation tokens.
    """
    blocks = len(coefficients)
    rank = max((down.shape[0] for a in adapters for down, _ in a.factors.values()), default=0)
    if not adapters or coefficients.shape != (blocks, len(adapters)):
        raise AdapterError(
            f"mixture {name!r}: coefficients have shape {coefficients.shape}, expected (blocks, "
            f"{len(adapters)}), one column an adapter"
        )
    if cores is not None and cores.shape != (blocks, len(adapters), rank, rank):
        raise AdapterError(
            f"mixture {name!r}: cores have shape {cores.shape}, expected "
            f"{(blocks, len(adapters), rank, rank)}"
        )
    if len({adapter.invocation_tokens for adapter in adapters}) > 1:
        waits = ", ".join(f"{a.name!r} {a.invocation_tokens}" for a in adapters)
        raise AdapterError(f"mixture {name!r}: invocation tokens differ: {waits}")
    places = sorted({place for adapter in adapters for place in adapter.factors})
    touched = sorted({layer for layer, _ in places})
    factors = {}
    for layer, module in places:
        block = block_of(layer, touched, blocks)
        downs, ups = [], []
        for k, adapter in enumerate(adapters):
            if (layer, module) in adapter.factors:
                down, up = adapter.factors[layer, module]
                if cores is not None:
                    own = down.shape[0]
                    up = up @ torch.from_numpy(cores[block, k, :own, :own])
                downs.append(down)
                ups.append(up * float(coefficients[block, k]))
        factors[layer, module] = (torch.cat(downs), torch.cat(ups, 1))
    digest = hashlib.sha256("".join(a.content_hash for a in adapters).encode())
    digest.update(coefficients.tobytes() + (b"" if cores is None else cores.tobytes()))
    return Adapter(name, factors, adapters[0].invocation_tokens, digest.hexdigest())


def write_adapter(
    adapter: Adapter, folder: Path, base: str, summary: str = "", origin: str | None = None
) -> None:
    """Write an adapter as an ordinary PEFT LoRA folder, float32.

    Every layer gets the same modules and rank; what an adapter lacks is zeros.

    Parameters
    ----------
    adapter
        What to write.
    folder
        Created where absent.
    base
        The base model, as in `merge.sources.resolve_model`; written is its public name.
    summary
        A sentence for the model card, or more.
    origin
        What the base was made of, for the card; the base itself where left out.
    """
    from peft import LoraConfig

    base = public_name(base)
    layers = sorted({layer for layer, _ in adapter.factors})
    modules = sorted({module for _, module in adapter.factors})
    rank = max(down.shape[0] for down, _ in adapter.factors.values())
    like = {module: pair for (_, module), pair in adapter.factors.items()}
    weights = {}
    for layer in layers:
        for module in modules:
            down, up = adapter.factors.get((layer, module), like[module])
            present = (layer, module) in adapter.factors
            for half, factor, shape in (
                ("A", down, (rank, down.shape[1])),
                ("B", up, (up.shape[0], rank)),
            ):
                padded = torch.zeros(shape)
                if present:
                    padded[: factor.shape[0], : factor.shape[1]] = factor
                weights[f"base_model.model.model.layers.{layer}.{module}.lora_{half}.weight"] = (
                    padded
                )
    tokens = adapter.invocation_tokens
    config = LoraConfig(
        r=rank,
        lora_alpha=rank,  # the scaling stands in B
        target_modules=[module.rpartition(".")[2] for module in modules],
        layers_to_transform=layers,
        task_type="CAUSAL_LM",
        base_model_name_or_path=base,
        inference_mode=True,
        **({"alora_invocation_tokens": list(tokens)} if tokens else {}),
    )
    folder.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(folder)
    save_file(weights, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    front = yaml.safe_dump(
        {"base_model": public_name(origin or base), "library_name": "peft", "tags": ["lora"]},
        sort_keys=False,
    )
    made_for = base if origin in (None, base) else f"`{base}/`, made of {public_name(origin)}"
    about = f"LoRA adapter of rank {rank} for {made_for}. {summary}"
    text = f"---\n{front}---\n# {adapter.name}\n\n{about}"
    (folder / "README.md").write_text(text.rstrip() + "\n")


def _principal(down: torch.Tensor, up: torch.Tensor) -> Factors:
    left, upper = torch.linalg.qr(up.double())
    right, lower = torch.linalg.qr(down.double().T)
    inner_left, strength, inner_right = torch.linalg.svd(upper @ lower.T)
    root = strength.sqrt()
    new_up = left @ (inner_left * root)
    new_down = (root[:, None] * inner_right) @ right.T
    largest = new_up.abs().argmax(0)
    sign = torch.where(new_up[largest, torch.arange(len(largest))] < 0, -1.0, 1.0)
    return (new_down * sign[:, None]).float(), (new_up * sign).float()

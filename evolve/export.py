"""What other tools run of a bundle: its base as a model folder, its minds as PEFT adapters."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

from evobourse.agents.minds.engine import hash_weights
from evobourse.agents.observation import (
    INVOCATION,
    OPTIONS,
    TENDENCIES,
    possible_views,
    render_rules,
    render_view,
)
from evobourse.evolve.addresses import file_name
from evobourse.evolve.bundle import Bundle
from evobourse.evolve.errors import RunError
from evobourse.merge.peft.folder import read_adapter
from evobourse.merge.peft.mind_vector import split_cores
from evobourse.merge.peft.write import mix_adapters, write_adapter
from evobourse.merge.recipes.export import CONFIG_NAME, export_model
from evobourse.merge.recipes.layer_stack import stack_adapter, stack_state
from evobourse.merge.recipes.recipe import Recipe, load_source, merge_recipe
from evobourse.merge.recipes.stack_recipe import StackRecipe, stack_states, to_mergekit_yaml
from evobourse.merge.sources import load_model, public_name, resolve_model

MODEL, BASE, MINDS, SOURCES = "model", "base", "minds", "sources"
"""Folders of an export. Files in it name them as seen from the export, where a user stands."""

PROMPT = "prompt.txt"
"""In a mind's folder: a day's page, as `agents.observation` writes it."""

_EXAMPLE_DAY = possible_views(2)[-1]

_MIND = """{profile}

## Ask it

In the folder that holds `{minds}/`:

```python
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer
mind = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained("{base}"), "{minds}/{name}")
tokenizer = AutoTokenizer.from_pretrained("{base}")
page = tokenizer(open("{minds}/{name}/{prompt}").read(), return_tensors="pt")
letters = [tokenizer.encode(letter)[-1] for letter in {letters}]
print(mind(**page).logits[0, -1, letters].softmax(0))
```

- `{prompt}` is the page of one day; the next token is the answer, of which these letters alone
  count: {options}.
- {woken}
"""

_WOKEN = f"""It is an activated LoRA: it acts from the last `{INVOCATION!r}` on, as PEFT's \
`alora_invocation_tokens` say, and a text without it wakes nothing.
- A program that knows no activated LoRA lets it act on the whole page: other answers. \
`evobourse export --plain-lora` writes it for those."""

_PLAIN = """It is an ordinary LoRA, which acts on the whole page: it answers near the mind that \
traded, not the same."""

_README = """# {name}

Models of a population that evobourse evolved. \
Paths in these files are seen from this folder.

| folder | what it is |
|---|---|
{rows}
"""

_MERGE = """
The merge again, by mergekit's own command:

```
{command} {model}/{recipe} again --no-write-model-card \\
    --lora-merge-cache cache --lora-merge-dtype float32{seed}
```
"""


def export_models(
    bundle: Bundle,
    out: Path,
    *,
    plain_lora: bool = False,
    working: Callable[[str], AbstractContextManager[object]] = lambda what: nullcontext(),
) -> dict[str, Path]:
    """Write a bundle's models: the merged base, what it was merged of, and each mind.

    Parameters
    ----------
    bundle
        Whose.
    out
        Folder to write, with a ``README.md`` of what is in it.
    plain_lora
        Write minds as ordinary LoRA, for programs that know no activated one.
    working
        Says what takes long, for as long as it does.

    Returns
    -------
    dict of str to Path
        ``model`` if there is one, and each persona's name, to their folders; empty where all minds
        are the base itself.

    Raises
    ------
    RunError
        See `export_base`.
    merge.errors.MergeError
        A model cannot be read, or a folder is not empty.
    """
    made = {}
    if bundle.recipe is not None:
        with working(f"making the base of {len(bundle.recipe.sources)} sources"):
            made[MODEL] = export_base(bundle, out)
    for persona in bundle.population.personas if bundle.adapters else ():
        made[persona.name] = export_mind(bundle, persona.name, out, plain_lora=plain_lora)
    if made:
        _copy_base(bundle, out)
        _write_readme(bundle, out)
    return made


def export_base(bundle: Bundle, out: Path) -> Path:
    """Write what a bundle's recipe makes as an ordinary Hugging Face folder, ``model``.

    A stack becomes a model with as many layers; scales other than 1 are folded into its weights,
    exact but for the epsilon of the norms (docs/decisions/041). Adapters that were merged are
    written beside it, as ordinary LoRA: mergekit's recipe names them.

    Raises
    ------
    RunError
        The bundle has no recipe, so that its base is the model that it names, or that model has
        other weights than at the bundle's export.
    merge.errors.MergeError
        A model cannot be read, or the folder is not empty.
    """
    recipe = bundle.recipe
    if recipe is None:
        raise RunError(f"bundle {bundle.name!r} has no recipe; its base is {bundle.base!r} itself")
    model, tokenizer = load_model(bundle.base)
    base = model.state_dict()
    if hash_weights(base) != bundle.base_hash:
        raise RunError(f"bundle {bundle.name!r}: base {bundle.base!r} has other weights by now")
    sources = {
        path.name: load_source(path.name, path, base, tokenizer, model.config)
        for path in bundle.sources
    }
    if isinstance(recipe, Recipe):
        state, seed = merge_recipe(recipe, base, sources), recipe.seed
    else:
        state, seed = stack_state(recipe.stack, stack_states(recipe, base, sources)), None
    places = {recipe.base: _place_of_base(bundle)}
    for path in bundle.sources:
        places[path.name] = _place_source(path, places[recipe.base], bundle.base, out)
    text = to_mergekit_yaml(recipe, len(model.model.layers), places)
    export_model(out / MODEL, state, bundle.base, text, [bundle.base, *recipe.sources], seed=seed)
    return out / MODEL


def export_mind(bundle: Bundle, persona: str, out: Path, *, plain_lora: bool = False) -> Path:
    """Write a persona's mind as one PEFT LoRA folder, exactly: ranks add up, cores stand in B.

    It belongs on what `export_base` writes, and without a recipe on the bundle's base.

    Raises
    ------
    RunError
        There is no such persona, or the bundle has no adapters.
    """
    found = {p.name: p for p in bundle.population.personas}
    if persona not in found:
        raise RunError(f"bundle {bundle.name!r} has no persona {persona!r}; it has {list(found)}")
    if not bundle.adapters:
        raise RunError(f"bundle {bundle.name!r} has no adapters; its minds are its base")
    adapters = [read_adapter(path) for path in bundle.adapters]
    mixed = mix_adapters(persona, adapters, *split_cores(found[persona].mind))
    if isinstance(bundle.recipe, StackRecipe):
        mixed = stack_adapter(bundle.recipe.stack, mixed)
    if plain_lora:
        mixed = replace(mixed, invocation_tokens=None)
    base = _place_of_base(bundle) if bundle.recipe is None else MODEL
    name = file_name(persona)
    card = _MIND.format(
        profile=found[persona].profile,
        minds=MINDS,
        name=name,
        base=base,
        prompt=PROMPT,
        letters=list(OPTIONS),
        options=", ".join(f"{o.strip()} {t}" for o, t in zip(OPTIONS, TENDENCIES, strict=True)),
        woken=_PLAIN if mixed.invocation_tokens is None else _WOKEN,
    )
    folder = out / MINDS / name
    write_adapter(mixed, folder, base, card, bundle.base)
    (folder / PROMPT).write_text(render_rules() + render_view(int(_EXAMPLE_DAY)))
    return folder


def _is_converted(bundle: Bundle) -> bool:
    """Say whether the base is a conversion, whose weights are not those that its name resolves."""
    return public_name(bundle.base) != bundle.base


def _place_of_base(bundle: Bundle) -> str:
    return BASE if _is_converted(bundle) else bundle.base


def _place_source(source: Path, base: str, public: str, out: Path) -> str:
    """Return what mergekit takes for a source: a folder, or an adapter on the base."""
    if not (source / "adapter_config.json").is_file():
        return os.path.relpath(source, out)
    adapter = replace(read_adapter(source), invocation_tokens=None)
    place = f"{SOURCES}/{file_name(source.name)}"
    write_adapter(adapter, out / place, base, "It was merged into the base.", public)
    return f"{base}+{place}"


def _copy_base(bundle: Bundle, out: Path) -> None:
    if _is_converted(bundle) and not (out / BASE).exists():
        shutil.copytree(resolve_model(bundle.base), out / BASE)


def _write_readme(bundle: Bundle, out: Path) -> None:
    recipe = bundle.recipe
    about = {
        MODEL: "the base of all minds, merged; `from_pretrained` loads it",
        MINDS: "each mind as a PEFT adapter, with a card that says how to ask it",
        SOURCES: "adapters that were merged",
        BASE: f"{public_name(bundle.base)} with the weights that were used; its card says whence",
    }
    rows = [f"| `{name}/` | {what} |" for name, what in about.items() if (out / name).is_dir()]
    text = _README.format(name=bundle.name, rows="\n".join(rows))
    if recipe is not None:
        seed = recipe.seed if isinstance(recipe, Recipe) else None
        many = isinstance(recipe, StackRecipe) and recipe.merges
        text += _MERGE.format(
            command="mergekit-multi" if many else "mergekit-yaml",
            model=MODEL,
            recipe=CONFIG_NAME,
            seed="" if seed is None else f" --random-seed {seed}",
        )
    (out / "README.md").write_text(text)

# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 5. Merging: recipes, stacks, what the layers do
#
# All minds of a market share one base.
# A recipe mixes that base from several models; a stack changes the order of its layers.
# Both are genes: here they are set by hand, and what minds answer is compared.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import evobourse as eb
from evobourse.agents.minds.choices import tabulate_choices
from evobourse.evolve.markets import World, play_market
from evobourse.merge.recipes.layer_stack import LayerStack
from evobourse.merge.recipes.recipe import Recipe
from evobourse.merge.recipes.stack_recipe import StackRecipe, to_mergekit_yaml

# %% tags=["parameters"]
AGENTS, DAYS, EVERY = 150, 250, 2

# %%
opened = eb.open_population("quickstart", {"minds.attention": 1})
bundle = opened.bundle
bases = bundle.open_bases()
sources = tuple(path.name for path in bundle.sources)
print(bundle.base, "with", bases.depth, "layers; sources:", ", ".join(sources))


def choose(recipe):
    """Ask all personas, on the base that a recipe makes: probabilities [personas, views, 5]."""
    [cumulative] = tabulate_choices([bundle.population], bases.serve(recipe))
    return cumulative


def distance(first, second):
    """Total variation of two tables of choices, mean over personas and views."""
    gap = np.diff(first, axis=2, prepend=0.0) - np.diff(second, axis=2, prepend=0.0)
    return float(np.abs(gap).sum(axis=2).mean() / 2)


plain = choose(None)

# %% [markdown]
# ## Recipes
#
# The terms are mergekit's, and the recipe of a bundle is mergekit's YAML.
# Weights are by block of layers, from the bottom up.

# %%
recipes = {
    f"half of {name}": Recipe(
        "task_arithmetic", bundle.base, (name,), weights=((0.5,), (0.5,), (0.5,))
    )
    for name in sources
}
recipes["both, ties"] = Recipe(
    "ties", bundle.base, sources, weights=((0.5, 0.5),) * 3, densities=((0.5, 0.5),) * 3
)
recipes["one below, one above"] = Recipe(
    "task_arithmetic", bundle.base, sources, weights=((1.0, 0.0), (0.5, 0.5), (0.0, 1.0))
)
print(to_mergekit_yaml(recipes["one below, one above"], bases.depth))

# %% [markdown]
# How far each moves the answers, and what the same dice make of them in a market:

# %%
world = World(bundle.offsets, bundle.rules, AGENTS, DAYS)
part = (bundle.population, bundle.history, 1)
tables = {"no merge": plain, **{name: choose(recipe) for name, recipe in recipes.items()}}
tapes = {name: play_market(world, part, table) for name, table in tables.items()}
pd.DataFrame(
    {
        name: {
            "distance of choices": distance(plain, tables[name]),
            "daily volatility": float(np.std(tape.log_returns())),
            "last price": tape.close_ticks[-1] / 100,
        }
        for name, tape in tapes.items()
    }
).T.round(4)

# %% [markdown]
# ## Stacks: what the layers do
#
# A stack names a source for each layer, in any order.
# Leave one layer out, or run it twice: the answers say what it was for.


# %%
def stack(layers):
    """Make a recipe of the base's own layers in this order."""
    along = LayerStack(tuple((bundle.base, n) for n in layers), (1.0,) * len(layers))
    return StackRecipe(bundle.base, along)


whole = list(range(bases.depth))
assert distance(plain, choose(stack(whole))) == 0.0
tried = whole[::EVERY]
without = [distance(plain, choose(stack([n for n in whole if n != gone]))) for gone in tried]
twice = [distance(plain, choose(stack(sorted([*whole, again])))) for again in tried]

# %%
fig, ax = plt.subplots(figsize=(8, 3.6))
ax.plot(tried, without, "o-", color="C3", label="left out")
ax.plot(tried, twice, "o-", color="C0", label="run twice")
ax.set(xlabel="layer", ylabel="total variation of choices", xlim=(-0.5, bases.depth - 0.5))
ax.set_ylim(bottom=0)
ax.legend(frameon=False)
ax.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# A sweep searches such stacks with `minds.stack`, and recipes with `minds.recipe_blocks`; see `evobourse config`.

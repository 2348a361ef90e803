# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 2. Anatomy of a population
#
# Who the personas are, what they see, what their minds choose, and what comes of it in the market.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import evobourse as eb
from evobourse.agents.observation import possible_views, render_rules, render_view, view_words
from evobourse.fitness.behaviour.table import describe_behaviour

# %% tags=["parameters"]
GENERATIONS = 6
AGENTS, DAYS, PATHS = 60, 120, 2
OUT = "runs/notebooks"

# %% [markdown]
# The run of the first notebook: if it is there, it is returned at once.

# %%
settings = {
    "market.agents": AGENTS,
    "market.days": DAYS,
    "market.paths": PATHS,
    "minds.attention": 1,
    "minds.recipe_blocks": 0,
    "search.cross.slow_count": 2,
    "search.cross.slow_every": 2,
    "search.cross.fast_count": 6,
    "selection.champions": 3,
    "selection.validation_groups": 2,
    "selection.heldout_groups": 3,
}
run = eb.evolve("quickstart", generations=GENERATIONS, out=OUT, settings=settings, progress=False)
champion = run.champion
personas = champion.bundle.population.personas
names = [persona.name for persona in personas]

# %% [markdown]
# ## Personas
#
# A mind is a mixture of style adapters on one base; a persona adds a temperature and a share of the agents.

# %%
styles = [path.name for path in champion.bundle.adapters]
mixtures = pd.DataFrame([np.mean(p.mixture, axis=0) for p in personas], names, styles)
shares = pd.Series([p.share for p in personas], names)
about = pd.DataFrame({"share": shares / shares.sum()})
about["temperature"] = [p.temperature for p in personas]
pd.concat([about, mixtures], axis=1).round(2)

# %% [markdown]
# ## What a mind reads
#
# The first part of a prompt is the same for all, the second is what one investor sees this morning.
# Signs are words without names, dates or prices.

# %%
views = possible_views(champion.bundle.population.society.attention)
print(render_rules())
print("...")
print(render_view(int(views[1])))

# %% [markdown]
# ## What minds choose
#
# Each mind is asked for all that it can meet, once; a market then needs no model.
# Colours are the mean of its five choices, from strong sell (-2) to strong buy (2).

# %%
cumulative = champion.choices()
probabilities = np.diff(cumulative, axis=2, prepend=0.0)
tendency = probabilities @ np.arange(-2, 3)
labels = [" ".join(view_words(int(view))) or "(nothing)" for view in views]
fig, ax = plt.subplots(figsize=(9, 3.6))
limit = np.abs(tendency).max()
image = ax.imshow(tendency, cmap="RdBu", vmin=-limit, vmax=limit, aspect="auto")
ax.set_yticks(range(len(names)), names)
ax.set_xticks(range(len(labels)), labels, rotation=60, ha="right", fontsize=8)
bar = fig.colorbar(image, label="mean tendency")

# %% [markdown]
# ## What comes of it
#
# Tapes record every decision, order and account.

# %%
tape = champion.simulate(agents=AGENTS, days=DAYS, seed=1)
decisions = tape.full_decisions()
counts = decisions.groupby(["day", "persona"]).size().unstack(fill_value=0)
counts = counts.reindex(columns=range(len(names)), fill_value=0)
fig, (above, below) = plt.subplots(2, 1, figsize=(9, 5), sharex=True, height_ratios=[1, 1.4])
above.plot(tape.day, tape.close_ticks / 100, color="black", linewidth=1.2)
above.set(ylabel="price")
below.stackplot(counts.index, counts.to_numpy().T, labels=names)
below.set(xlabel="day", ylabel="agents", xlim=(0, DAYS - 1), ylim=(0, AGENTS))
below.legend(loc="upper left", bbox_to_anchor=(1, 1.03), frameon=False, fontsize=8)
fig.align_ylabels()

# %% [markdown]
# How each group traded, in terms of behavioural finance:
# `disposition` over 0 sells winners sooner than losers, `conformity` is agreement with yesterday's majority.

# %%
behaviour = describe_behaviour(tape, champion.bundle.rules, names)
columns = ["name", "investors", "disposition", "turnover", "profit", "excess", "conformity"]
table = pd.DataFrame([vars(group) for group in behaviour.groups])[columns]
print(f"effective number of minds by day: {behaviour.minds_by_day:.2f} of {len(names)}")
print(f"herding of filled orders (LSV): {behaviour.herding_filled:.3f}")
table.round(3)

# %% [markdown]
# Next: [put it into a scenario](3_scenario.ipynb).

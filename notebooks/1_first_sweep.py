# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 1. A first sweep and its lineage
#
# Evolve a population, see how it learnt, who its champion descends from, and what it is held against.
# The sizes below are for a minute or two on two cores; the shipped quickstart is larger.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import evobourse as eb
from evobourse.experiments.reports.ancestry import ancestry, gene_table
from evobourse.fitness.plots import plot_price_paths
from evobourse.market.series.named import load_series

# %% tags=["parameters"]
GENERATIONS = 6
AGENTS, DAYS, PATHS = 60, 120, 2
OUT = "runs/notebooks"

# %% [markdown]
# ## Evolve
#
# `eb.evolve` takes a shipped config or a file of your own, and any setting of it by dotted key.
# The same call again returns what is there, or goes on where it was broken off.

# %%
settings = {
    "market.agents": AGENTS,
    "market.days": DAYS,
    "market.paths": PATHS,
    "minds.attention": 1,  # one sign a morning: few questions to ask the model
    "minds.recipe_blocks": 0,  # no merges in so short a search
    "search.cross.slow_count": 2,
    "search.cross.slow_every": 2,
    "search.cross.fast_count": 6,
    "selection.champions": 3,
    "selection.validation_groups": 2,
    "selection.heldout_groups": 3,
}
run = eb.evolve("quickstart", generations=GENERATIONS, out=OUT, settings=settings, progress=False)
print(f"{len(run.candidates)} candidates; {run.folder.read_stop()}")

# %% [markdown]
# ## How it learnt
#
# A score is J/J95: how far the moments of simulated paths are from the real ones, over what chance leaves of real windows.
# At 1 or less a market is not rejected at 5 %.

# %%
scored = pd.DataFrame(
    [(c.generation, c.score) for c in run.candidates if c.score is not None],
    columns=["generation", "score"],
)
by_generation = scored.groupby("generation")["score"]
fig, ax = plt.subplots(figsize=(7, 3.5))
ax.plot(scored["generation"], scored["score"], ".", color="0.7", label="candidates")
ax.plot(by_generation.median(), color="0.4", label="median")
ax.plot(by_generation.min(), "o-", color="C0", label="best")
ax.axhline(1, color="black", linewidth=1)
ax.set(yscale="log", xlabel="generation", ylabel="J/J95 on training years")
ax.legend(frameon=False)
ax.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# ## Who the champion descends from
#
# Every candidate names its parents and how much each counts in it.
# The line below follows the heaviest parent back to the first generation.

# %%
champion_id = run.folder.read_champion()
line = ancestry(run.candidates, champion_id)
pd.DataFrame(
    [
        {
            "candidate": c.id,
            "generation": c.generation,
            "training score": c.score,
            "parents": len(c.parents),
            "its weight in the next one": weight,
        }
        for c, weight in line
    ]
).round(2)

# %% [markdown]
# Which genes moved most along that line, as a share of what was tried:

# %%
names, _, values = gene_table([c for c, _ in line])
_, _, tried = gene_table(run.candidates)
spread = np.nanmax(tried, axis=0) - np.nanmin(tried, axis=0)
moved = pd.DataFrame({"gene": names, "ancestor": values[-1], "champion": values[0]})
moved["moved"] = np.abs(values[0] - values[-1]) / np.where(spread > 0, spread, np.inf)
moved.nlargest(8, "moved").round(3)

# %% [markdown]
# ## What it is held against
#
# The held-out years are read once, for the champion, beside every baseline.
# A search this short loses to laws that were fitted to returns; the point of a market is that it can be asked.

# %%
heldout = run.scoreboard.query("split == 'heldout'").sort_values("score")
heldout[["name", "score", "ci_low", "ci_high"]].round(2).reset_index(drop=True)

# %% [markdown]
# ## A year of its market
#
# The champion opens from its bundle, which carries its minds' answers: no model is loaded.

# %%
tapes = [run.champion.simulate(agents=AGENTS, days=DAYS, seed=seed) for seed in range(1, 9)]
simulated = np.log([np.append(t.initial_close_ticks, t.close_ticks) for t in tapes])
real = np.log(load_series("sp500").close[-DAYS - 1 :])[None]
fig, ax = plt.subplots(figsize=(7, 3.5))
plot_price_paths(real, simulated, ax)
print(eb.score(tapes[0], against="sp500"))

# %% [markdown]
# Next: [what is in that population](2_anatomy.ipynb).

# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 4. Your own prices, styles and base
#
# What a sweep takes of yours, how to see what is understood of it, and what it does to a market.

# %%
import shutil
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import evobourse as eb
from evobourse.experiments.sweep.inputs import examine
from evobourse.market.series.named import load_series
from evobourse.market.series.report import describe_prices
from evobourse.merge.recipes.export import export_model
from evobourse.merge.recipes.recipe import load_source
from evobourse.merge.sources import load_model

# %% tags=["parameters"]
AGENTS, DAYS = 150, 250

# %% [markdown]
# ## Prices
#
# Any CSV or Parquet file with a date and a close, as data providers write them; open, high, low and volume let orders be fitted to it.
# Here the Nasdaq stands for your file, newest day first, as some providers write it.

# %%
folder = Path(tempfile.mkdtemp())
nasdaq = load_series("nasdaq")
own_prices = folder / "mine.csv"
pd.DataFrame(
    {
        "Date": pd.to_datetime(nasdaq.dates).strftime("%Y-%m-%d"),
        "Close": nasdaq.close.round(2),
        "Volume": nasdaq.volume,
        "Open": nasdaq.open,
        "High": nasdaq.high,
        "Low": nasdaq.low,
    }
).iloc[::-1].to_csv(own_prices, index=False)
understood = describe_prices(own_prices)
print(own_prices.read_text().splitlines()[:2])
print(understood.frequency, understood.first_day, "to", understood.last_day, understood.columns)
print("trouble:", understood.trouble)

# %% [markdown]
# A population's market against your prices.
# The population that a sweep begins with has learnt nothing yet: this is where evolution starts.

# %%
few = {"minds.attention": 1, "minds.recipe_blocks": 0, "series": str(own_prices)}
start = eb.open_population("quickstart", few)
score = eb.score(start.simulate(AGENTS, DAYS, seed=1), against=own_prices)
fig, ax = plt.subplots(figsize=(7, 5.5))
score.plot(ax)
print(f"J/J95 {score.ratio:.2f}: {score.conclusion}")

# %% [markdown]
# A sweep on them is `eb.evolve("quickstart", settings={"series": "mine.csv", "splits.train": [...], ...})`.
#
# ## Styles
#
# A folder of PEFT LoRA folders is a set of styles, and personas name theirs.
# Yours come from `evobourse train-styles CONFIG --out FOLDER`, three minutes each, or from any PEFT training on the base.
# Here three of the shipped ones stand for your folder.

# %%
shipped = {path.name: path for path in start.bundle.adapters}
own_styles = folder / "styles"
for name in ("momentum", "value", "noise"):
    source = shipped["momentum"].parent / name
    shutil.copytree(source, own_styles / name)
for found in examine(str(own_styles), start.bundle.base):
    print(found.name, dict(found.facts), found.refused or "fine")

# %%
personas = [
    {"name": "chaser", "style": "momentum", "profile": "Buys what rises."},
    {"name": "anchor", "style": "value", "profile": "Buys what is cheap."},
    {"name": "crowd", "style": "noise", "profile": "Trades on a whim."},
]
mine = eb.open_population(
    "quickstart", {**few, "minds.adapters": str(own_styles), "personas": personas}
)
tape = mine.simulate(AGENTS, DAYS, seed=1)

# %% [markdown]
# ## A base
#
# `minds.base` is a hub id, a folder or a server.
# Here a source model of the shipped recipe is written as a folder of its own, as a fine-tuned model of yours would be.

# %%
model, _ = load_model(start.bundle.base)
source = shipped["momentum"].parents[1] / "sources" / "value-investor"
own_base = folder / "my-model"
state = load_source(source.name, source, model.state_dict())
export_model(own_base, state, start.bundle.base, f"models: {source.name}\n", [source.name])
del model, state
other = eb.open_population("quickstart", {**few, "minds.base": str(own_base)})
tape_of_other = other.simulate(AGENTS, DAYS, seed=1)

# %% [markdown]
# The same start, dice and history: what differs is who decides.

# %%
fig, ax = plt.subplots(figsize=(8, 3.6))
tapes = {
    "shipped population": start.simulate(AGENTS, DAYS, seed=1),
    "your three styles": tape,
    "your base": tape_of_other,
}
for name, one in tapes.items():
    ax.plot(np.append(one.initial_close_ticks, one.close_ticks) / 100, label=name)
ax.set(xlabel="day", ylabel="price (history ends at 100)")
ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
ax.spines[["top", "right"]].set_visible(False)
pd.DataFrame(
    {
        name: {
            "daily volatility": float(np.std(one.log_returns())),
            "J/J95 against your prices": eb.score(one, against=own_prices).ratio,
        }
        for name, one in tapes.items()
    }
).T.round(4)

# %%
shutil.rmtree(folder)

# %% [markdown]
# Next: [merging](5_merging.ipynb).

# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 3. A scenario by hand: branch and compare
#
# The same market twice: left alone, and told bad news on one day.
# All draws but the news are the same, so that what differs is what the news did.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import evobourse as eb
from evobourse.experiments.config.scenario import Beside, Scenario, Size
from evobourse.experiments.simulate.branch import Branch
from evobourse.experiments.simulate.exchange import build_scenario
from evobourse.market.events.kinds import Halt, News, Resume

# %% tags=["parameters"]
AGENTS, DAYS, NEWS_DAY = 150, 60, 30

# %% [markdown]
# ## The market
#
# A scenario is a YAML file for `evobourse simulate --scenario`, or this object.
# A day has an opening auction, continuous trading and a closing auction; market makers and noise traders stand beside the personas.

# %%
opened = eb.open_population("quickstart", {"minds.attention": 1, "minds.recipe_blocks": 0})
choices = opened.choices()
place = Scenario(
    turns=("call", "continuous", "call"), beside=Beside(market_makers=2, noise_traders=20)
)
size = Size(agents=AGENTS, days=DAYS, seed=1)


def market(events=()):
    """Build the market anew, in its morning of day 0."""
    return build_scenario(place, opened.bundle, choices, size, minds=opened.minds, events=events)


# %% [markdown]
# ## Branch
#
# A line of days can be taken back to any day, and split: both parts share their past to the cent.

# %%
calm = Branch(market(), [choices, opened.minds, opened.bundle], "calm")
while calm.day < NEWS_DAY:
    calm.play_turn()

told = calm.fork("told", NEWS_DAY)
told.happen(News(day=NEWS_DAY, text="Its largest customer leaves.", tone=-3.0))
halted = told.fork("halted", NEWS_DAY)
halted.happen(News(day=NEWS_DAY, text="Its largest customer leaves.", tone=-3.0))
halted.happen(Halt(day=NEWS_DAY, asset="stock"))
halted.happen(Resume(day=NEWS_DAY + 3, asset="stock"))
branches = [calm, told, halted]
for branch in branches:
    while branch.day < DAYS:
        branch.play_turn()

# %% [markdown]
# ## Compare
#
# In the halted branch nobody could act on the morning's news, and no later morning repeats it.

# %%
fig, (price, volume) = plt.subplots(2, 1, figsize=(9, 5), sharex=True, height_ratios=[2, 1])
for branch, colour in zip(branches, ("black", "C3", "C0"), strict=True):
    bars = np.array([row.bar for row in branch.watch.rows])
    price.plot(bars[:, 3] / 100, color=colour, label=branch.name)
    volume.plot(bars[:, 5], color=colour, linewidth=1)
price.axvline(NEWS_DAY, color="0.6", linestyle=":")
price.set(ylabel="close")
price.legend(frameon=False)
volume.set(xlabel="day", ylabel="shares traded", xlim=(0, DAYS - 1))
fig.align_ylabels()

# %% [markdown]
# Who sold on the news: mean tendency of each persona on that day, from strong sell (-2) to strong buy (2), and shares bought less sold.

# %%
pd.DataFrame(
    {
        (what, branch.name): pd.Series(
            getattr(branch.watch.rows[NEWS_DAY], what), branch.watch.groups
        )
        for what in ("tendency", "got")
        for branch in (calm, told)
    }
).round(2)

# %% [markdown]
# ## What is written down replays
#
# Events given at the start make the same market as those that were thrown in on the way.

# %%
again = Branch(market(told.happened), [choices, opened.minds, opened.bundle], "again")
while again.day < DAYS:
    again.play_turn()
same = [row.bar for row in again.watch.rows] == [row.bar for row in told.watch.rows]
print("the same bars, day by day:", same)
assert same

# %% [markdown]
# `evobourse desk BUNDLE` does all of this on a page, live.
# Next: [your own prices, styles and base](4_your_own.ipynb).

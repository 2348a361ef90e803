"""A bundle as a folder that PAMS runs: its configuration, the bundle, and how to start it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from evobourse.evolve.bundle import load_bundle
from evobourse.experiments.config.scenario import Size
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.simulate.bundle import OpenPopulation, open_population
from evobourse.experiments.simulate.pams.agent import CENTS
from evobourse.experiments.simulate.pams.minds import SteppedPopulation

_RUN = '''"""Runs this market in PAMS: python run.py [STEPS]."""

from pathlib import Path

from evobourse.experiments.simulate.pams.agent import main

if __name__ == "__main__":
    main(Path(__file__).parent)
'''

_README = """# {name} in PAMS

A population that evobourse evolved, as agents of PAMS 0.3 (https://github.com/masanorihirano/pams).

```
pip install --no-deps pams==0.3.0 tqdm     # beside evobourse: PAMS asks for an older numpy
python run.py 100
```

- `config.json` is a configuration of PAMS. A day is two sessions of a step: orders of all agents
  are collected, then matched at one price. One agent sends a bid of a share at a tick to start it.
- `run.py` registers the agent class, `MindAgent` of `evobourse.experiments.simulate.pams.agent`.
- `bundle/` is the population. {minds}
- `run.py` writes `log.csv`, all that PAMS's book did, and prints how its matching differs from
  evobourse's on the same orders.

Differences from evobourse's own market:

- The price of a call is that of the last pair that meets, where ours is the one with most volume.
- There are no fees.
- With one session for all days orders meet one by one, which is another market: see
  evobourse's docs/environment.md.
"""


def export_pams(place: Path, out: Path, size: Size) -> None:
    """Write a folder that PAMS runs.

    Parameters
    ----------
    place
        The bundle's folder.
    out
        Made; it must not hold anything.
    size
        Agents, days and seed of its market.

    Raises
    ------
    ConfigError
        The population does not go with a market that is not ours, or the folder is not empty.
    """
    if out.exists() and any(out.iterdir()):
        raise ConfigError(f"{out} holds something; name a folder that is new or empty")
    opened: OpenPopulation = open_population(place)
    people = SteppedPopulation(opened, size.agents, size.seed)
    settings = {
        "simulation": {
            "markets": ["Stock"],
            "agents": ["Minds"],
            "sessions": [
                {
                    "sessionName": f"day {day}: {what}",
                    "iterationSteps": 1,
                    "withOrderPlacement": True,
                    "withOrderExecution": what == "match",
                    "withPrint": False,
                    "maxNormalOrders": size.agents,
                }
                for day in range(size.days)
                for what in ("collect", "match")
            ],
        },
        "Stock": {
            "class": "Market",
            "tickSize": 1 / CENTS,
            "marketPrice": people.last_ticks / CENTS,
        },
        "Minds": {
            "class": "MindAgent",
            "numAgents": size.agents,
            "markets": ["Stock"],
            "bundle": "bundle",
            "seed": size.seed,
        },
    }
    out.mkdir(parents=True, exist_ok=True)
    shutil.copytree(place, out / "bundle")
    (out / "config.json").write_text(json.dumps(settings, indent=2) + "\n")
    (out / "run.py").write_text(_RUN)
    minds = "It carries its minds' answers, so that no model is loaded."
    if load_bundle(place).answers is None:
        minds = "It carries no answers: its models are opened for them."
    (out / "README.md").write_text(_README.format(name=opened.bundle.name, minds=minds))

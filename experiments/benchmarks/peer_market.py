"""A market of `pams` with its own agents, timed in the peers' environment.

Nothing of this project is installed there: it is run as a script.
"""

import random
import sys
import time


def main() -> None:
    """Run ``peer_market.py AGENTS STEPS`` and print the decisions asked for and the seconds."""
    from pams.runners import SequentialRunner

    agents, steps = map(int, sys.argv[1:])
    session = {
        "sessionName": 0,
        "iterationSteps": steps,
        "withOrderPlacement": True,
        "withOrderExecution": True,
        "withPrint": False,
        "maxNormalOrders": agents,  # every agent decides in every step
    }
    settings = {
        "simulation": {"markets": ["Market"], "agents": ["FCNAgents"], "sessions": [session]},
        "Market": {"class": "Market", "tickSize": 0.00001, "marketPrice": 300.0},
        "FCNAgents": {
            "class": "FCNAgent",
            "numAgents": agents,
            "markets": ["Market"],
            "assetVolume": 50,
            "cashAmount": 10_000,
            "fundamentalWeight": {"expon": [1.0]},
            "chartWeight": {"expon": [0.0]},
            "noiseWeight": {"expon": [1.0]},
            "meanReversionTime": {"uniform": [50, 100]},
            "noiseScale": 0.001,
            "timeWindowSize": [100, 200],
            "orderMargin": [0.0, 0.01],
        },
    }
    runner = SequentialRunner(settings=settings, prng=random.Random(0))
    began = time.perf_counter()
    runner.main()
    print(agents * steps, time.perf_counter() - began)


if __name__ == "__main__":
    main()

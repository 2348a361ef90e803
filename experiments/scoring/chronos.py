"""Three-day forecasts of a pretrained Chronos model beside the other forecasters, where installed.

The model is asked one origin at a time, from what was known then alone; nothing is fetched.

The package ``chronos-forecasting`` is optional: ``pip install chronos-forecasting``. A pretrained
model may have been trained on the very days that are forecast; on days before its publication a
good loss proves nothing.

References
----------
Ansari, Stella, Turkmen et al. (2024), Chronos: learning the language of time series, Transactions
on Machine Learning Research, arXiv 2403.07815.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from evobourse.experiments.errors import ConfigError
from evobourse.fitness.forecasts import HORIZON_DAYS, baseline_forecasts

_PERCENT = 100.0  # the models' scale of smallness lies near a return's


def forecast_returns(
    log_returns: npt.ArrayLike,
    origins: npt.ArrayLike,
    chronos: Path | None = None,
    rng: np.random.Generator | None = None,
) -> dict[str, npt.NDArray[np.float64]]:
    """Forecast with all that there is: the baselines and, given a folder, a Chronos model.

    Parameters
    ----------
    log_returns : array_like, shape [T]
        Daily log returns.
    origins : array_like of int, shape [O]
        Number of returns known at each origin, see `fitness.forecasts.rolling_origins`.
    chronos
        Folder of a model: Chronos (T5), Chronos-Bolt or Chronos-2; none by default.
    rng
        Source of what a T5 model draws; the other two draw nothing.

    Returns
    -------
    dict of str to float64 array, shape [O, 3]
        As `fitness.forecasts.baseline_forecasts`, and ``chronos``: the mean of a T5 model's
        samples, the median of the others.

    Raises
    ------
    ConfigError
        The package is not installed, or the folder holds no Chronos model.
    fitness.errors.FitnessError
        The series is degenerate or an origin has too few days on either side.
    """
    pipeline = None if chronos is None else _open(chronos)  # ahead of the slow fits
    forecasts = baseline_forecasts(log_returns, origins)
    if pipeline is not None:
        returns, starts = np.asarray(log_returns, np.float64), np.asarray(origins)
        rng = rng or np.random.default_rng(0)
        forecasts["chronos"] = np.stack([_ask(pipeline, returns[:start], rng) for start in starts])
    return forecasts


def _open(folder: Path) -> Any:
    if find_spec("chronos") is None:
        raise ConfigError(
            f"chronos {folder}: the package is not installed; pip install chronos-forecasting, or "
            "leave the model out"
        )
    if not (folder / "config.json").is_file():
        raise ConfigError(f"chronos {folder}: no config.json; name the folder of a Chronos model")
    from chronos import BaseChronosPipeline

    try:
        return BaseChronosPipeline.from_pretrained(folder, device_map="cpu", dtype="float32")
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"chronos {folder}: cannot be loaded ({reason})") from error


def _ask(
    pipeline: Any, known: npt.NDArray[np.float64], rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Forecast [3] from the known returns, with torch's own stream left where it was."""
    import torch

    context = torch.tensor(known * _PERCENT, dtype=torch.float32)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**63)))
        _, mean = pipeline.predict_quantiles([context], HORIZON_DAYS, quantile_levels=[0.5])
    # a tensor [1, 3] of the first two families, a list of one [1, 3] of Chronos-2
    percent: npt.NDArray[np.float64] = mean[0].reshape(HORIZON_DAYS).double().numpy()
    return percent / _PERCENT

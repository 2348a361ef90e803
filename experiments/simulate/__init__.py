"""A population in a market: bundles, scenarios, casts."""

"""Scores of simulated markets: moments, distances, facts, paths, forecasts, baselines, plots."""

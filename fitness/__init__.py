"""Scores of a simulated market: moments, distances, facts, baselines, the held-out door, plots."""

"""Scores of a simulated market: moments, distances, baselines, the held-out door and plots."""

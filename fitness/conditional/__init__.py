"""Scores of what follows a given past."""

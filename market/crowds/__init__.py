"""Crowds that follow rules: textbook traders, recorded flow, strategies and people."""

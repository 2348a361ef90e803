"""Populations as crowds of the market: observing, deciding, ordering."""

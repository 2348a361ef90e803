"""Benchmark: the desk at a thousand agents, from its address alone."""

"""Experiments: configs, the command line, reports and benchmarks; the only wiring."""

"""Experiments: configs, the command line, sweeps, studies and benchmarks; the only wiring."""

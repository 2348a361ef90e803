"""Evolve language-model investors until the market that they make moves like a real one."""

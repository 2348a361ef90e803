"""Investors: what they see, how they think, what they order, and whom they follow."""

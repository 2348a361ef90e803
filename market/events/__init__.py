"""What happens to a market from outside, and when."""

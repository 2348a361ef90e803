"""Study: how a market answers a buyer, and what would have been."""

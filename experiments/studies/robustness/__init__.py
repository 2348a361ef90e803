"""Study: what of a population survives another cast."""

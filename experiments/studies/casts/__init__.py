"""Study: orders by regime, contests, guessed words."""

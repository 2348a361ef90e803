"""Study: textbook and published checks of the market."""

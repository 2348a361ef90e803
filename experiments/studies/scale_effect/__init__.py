"""Study: whether more distinct minds make a better market."""

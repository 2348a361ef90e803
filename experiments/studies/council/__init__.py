"""Study: what of an operator's game survives a change of cast."""

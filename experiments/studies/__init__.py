"""Studies: each finds something out and writes a page."""

"""Real price series: named ones, files, splits in time, stock splits."""

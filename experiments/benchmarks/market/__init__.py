"""A sweep's market against the bare loop that it grew from."""

"""The desk: a page on which a person plays a market live, and takes part in it."""

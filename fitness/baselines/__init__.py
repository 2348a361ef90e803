"""Reference markets without agents, and the Franke-Westerhoff market calibrated on real days."""

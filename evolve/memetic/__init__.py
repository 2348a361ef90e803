"""Training of a search's best between its generations."""

"""Merge recipes and layer stacks in mergekit's terms."""

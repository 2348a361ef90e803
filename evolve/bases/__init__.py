"""The models that personas think with: merged, served, pooled, in workers."""

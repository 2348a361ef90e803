"""INT8 decoders that answer for thousands of adapter mixtures in shared passes."""

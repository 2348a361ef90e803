"""Speed and memory as ratios against a named peer or the hardware's ceiling."""

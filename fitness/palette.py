"""The colours of all figures."""

INK = "#262626"
MUTED = "#8c8c8c"
SIMULATED = "#0072B2"
COLOURS = (SIMULATED, "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", INK)
"""Okabe and Ito's palette, distinct under the common colour-vision deficiencies."""

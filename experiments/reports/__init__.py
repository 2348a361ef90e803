"""Figures, intervals, scores and pages that several commands and studies share."""

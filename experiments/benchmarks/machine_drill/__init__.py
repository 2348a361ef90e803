"""A small sweep on emulated processors, compared byte for byte."""

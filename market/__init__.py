"""A stock market of integer ticks, shares and cents, and the real series it is compared with."""

"""A stock market of integer ticks, shares and cents, and the real series it is compared with.

Knows: price series, their splits, the call auction, the order book, accounts, the day, the tape.
Does not know: who trades or why, how a market is scored, and anything of language models.
"""

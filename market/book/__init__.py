"""The limit order book, the call auction and their matching."""

"""Investors who think in words: reasons, advice, revision, memory, reflection."""

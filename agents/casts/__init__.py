"""Casts written as one sentence of plain words: its grammar, vocabulary, backgrounds, speakers."""

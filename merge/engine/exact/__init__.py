"""A decoder's arithmetic on a processor: the same bits on every machine and in every batch."""

"""How styles are learnt: supervised, by an expert, by profit; resumable."""

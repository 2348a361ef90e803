"""A bundle's population in PAMS, a market simulator of others."""

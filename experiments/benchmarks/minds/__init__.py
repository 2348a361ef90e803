"""The minds engine against the peers' ways and the machine."""

"""What answers forced choices: the engine of mixtures, served models, stand-ins, the memo."""

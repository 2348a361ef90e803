"""How investors behave: trading, herding, holdings, choices between gambles."""

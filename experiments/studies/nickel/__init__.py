"""Study: the London nickel days of March 2022."""

"""Who an investor is: personas, populations, social settings, traits."""

"""Study: gambles, the order of options, temperature."""

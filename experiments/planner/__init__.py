"""What fits on a chip and how long it takes, by a roofline."""

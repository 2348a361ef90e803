"""An evolution sweep from config to bundle."""

"""What YAML may say; builds nothing."""

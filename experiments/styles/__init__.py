"""Training, measuring and describing style adapters."""

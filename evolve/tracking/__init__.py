"""MLflow's view of a lineage."""

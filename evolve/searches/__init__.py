"""What proposes candidates: CMA-ES, cross search, Optuna, archives, racing."""

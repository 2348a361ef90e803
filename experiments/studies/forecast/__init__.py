"""Study: what a simulated market forecasts, and what its days teach a forecaster."""

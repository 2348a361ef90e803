"""Study: evolved markets against laws, and against sweeps with less, over seeds and assets."""

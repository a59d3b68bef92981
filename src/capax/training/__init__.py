"""Training: optimiser, compiled program, population, checkpoints."""

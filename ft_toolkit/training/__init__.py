"""Training: preparation, the loop, the optimizer, checkpoints and tracking."""

"""Changes of texts: those that keep the answer (robustness check), and those that make more training rows (augmentation)."""

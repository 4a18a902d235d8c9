"""Run recipes: one run, several seeds, learning curves, evaluations, and the list of runs."""

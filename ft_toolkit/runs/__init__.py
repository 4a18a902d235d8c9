"""Run recipes: single and multi-seed runs, learning curves, evaluations, and the list of runs."""

"""Scores by slice, group, confidence and perturbation of the input."""

"""Scores with confidence intervals, significance tests, and the learning-curve fit."""

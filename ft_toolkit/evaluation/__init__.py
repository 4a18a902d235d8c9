"""Evaluation: predictions and scores of every split, their statistics, breakdowns and comparisons."""

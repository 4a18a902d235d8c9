"""Metrics as pure functions of two arrays, their bootstrap intervals, and the same as `evaluate.Metric` that work offline."""

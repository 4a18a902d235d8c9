"""Metrics as pure functions of two arrays, bootstrap intervals, and offline `evaluate.Metric` objects."""

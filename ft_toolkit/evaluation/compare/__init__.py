"""Compare finished runs with each other, with conditions, and with published results."""

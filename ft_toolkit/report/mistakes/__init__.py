"""The mistakes that a report shows, by the kind of prediction."""

"""What a finished run shows, from numbers per example alone: scores, intervals, comparisons. No torch."""

"""Faults of rows: each module finds some kinds of fault in the rows of all splits. `find_faults` runs them all."""

"""Functions for `Task.guess`: recognize the rows of a task in a file whose columns are unknown."""

"""Functions for `Task.guess`: recognise the rows of a task in a file whose columns are unknown."""

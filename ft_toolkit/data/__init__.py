"""Data for a task: read files, data cards and Hub data sets; map columns; hold out, check, audit and fingerprint rows."""

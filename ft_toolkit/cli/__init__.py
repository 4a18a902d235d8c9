"""The command line: one file per verb. `app.main` runs it."""

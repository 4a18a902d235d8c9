"""The command line: one file per verb in `verbs`. `app.main` runs it."""

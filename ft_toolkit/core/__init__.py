"""The base of the package: errors, files, signals, YAML, the environment, and run folders. Imports no torch."""

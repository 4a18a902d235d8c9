"""Serve finished models over HTTP, with a page to try them. Models exported as graphs need no torch."""

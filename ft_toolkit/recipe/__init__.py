"""Recipes: the schema of all settings, and the loader that checks a recipe file against it."""

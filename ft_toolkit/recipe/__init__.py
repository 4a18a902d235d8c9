"""Recipes: which settings exist, and how a recipe file becomes a checked, complete recipe."""

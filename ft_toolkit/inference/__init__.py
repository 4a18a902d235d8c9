"""Use a finished model: load its folder, predict, explain, and check that it reloads."""

"""Checkpoints: find, load and adapt pretrained models, and create new ones."""

"""Locate the recipes and data cards that ship with the toolkit.

In a checkout they are at the top level; in an installed wheel, in the package folder.
"""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


def shipped(name: str) -> Path:
    """Return the folder `name` ("recipes" or "data_cards") of this installation."""
    installed = PACKAGE / name
    return installed if installed.is_dir() else PACKAGE.parent / name

"""Where the files that ship with the toolkit lie: recipes and data cards.

In a checkout they stand at the top level; in an installed wheel, beside this module.
"""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


def shipped(name: str) -> Path:
    """Return the folder `name` ("recipes" or "data_cards") of this installation."""
    installed = PACKAGE / name
    return installed if installed.is_dir() else PACKAGE.parent / name

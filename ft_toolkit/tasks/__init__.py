"""Tasks, found by file name: `tasks/<name>.py` defines `TASK`."""

import importlib
from pathlib import Path

from ft_toolkit.tasks.base import Task


def find_tasks() -> dict[str, Task]:
    """Return every task of this folder by name, in alphabetical order."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in ("__init__", "base"))
    return {name: importlib.import_module(f"{__name__}.{name}").TASK for name in names}

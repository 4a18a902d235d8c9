"""Tasks, found by file name: `tasks/<name>.py` defines `TASK`."""

import importlib
import os
from pathlib import Path

from ft_toolkit.core.errors import UsageError
from ft_toolkit.tasks.base import Task

# The environment variable that names a folder with further task files.
TASKS_FOLDER = "FT_TOOLKIT_TASKS"
_NOT_TASKS = ("__init__", "base")


def find_tasks() -> dict[str, Task]:
    """Return every task by name, in alphabetical order.

    Task files are those of this folder and of the folder that the environment variable FT_TOOLKIT_TASKS names. Raises
    UsageError for a folder that does not exist, a file without a task, and a name that two files have.

        list(ft_toolkit.find_tasks())  # ["language_modelling", "ner", ...]
    """
    names = {path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in _NOT_TASKS}
    if folder := os.environ.get(TASKS_FOLDER):
        if not Path(folder).is_dir():
            raise UsageError(f"{TASKS_FOLDER}={folder}: folder not found; name a folder with task files, or unset it")
        if folder not in __path__:
            __path__.append(folder)
        own_names = {path.stem for path in Path(folder).glob("*.py")}
        if duplicates := sorted(own_names & {*names, *_NOT_TASKS}):
            raise UsageError(f"{folder}/{duplicates[0]}.py: ft_toolkit has a module of this name; rename the file")
        names |= own_names
    return {name: _load(name) for name in sorted(names)}


def _load(name: str) -> Task:
    module = importlib.import_module(f"{__name__}.{name}")
    task = getattr(module, "TASK", None)
    if not isinstance(task, Task) or task.name != name:
        raise UsageError(f'{module.__file__}: a task file must define TASK = Task(name="{name}", ...)')
    return task

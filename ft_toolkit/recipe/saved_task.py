"""The task, settings and schema that a file of a run folder holds."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ft_toolkit.core.errors import did_you_mean, one_of
from ft_toolkit.core.json_records import damaged
from ft_toolkit.tasks import find_tasks
from ft_toolkit.tasks.base import Task


@dataclass(frozen=True)
class SavedTask:
    """A task with the settings and the schema of a finished run."""

    task: Task
    settings: Any
    schema: Any


def load_saved_task(path: Path, name: str, settings: Mapping[str, Any], schema: Mapping[str, Any]) -> SavedTask:
    """Return the task `name` with settings and schema as `path` (results.json or inference.json) holds them.

    Raises RunFolderError for an unknown task, and for settings or a schema that do not fit the task.
    """
    tasks = find_tasks()
    if name not in tasks:
        raise damaged(path, f"unknown task '{name}'; allowed: {one_of(tasks)}.{did_you_mean(name, tasks)}".rstrip("."))
    part = "settings"
    try:
        valid_settings = tasks[name].settings.model_validate(settings)
        part = "schema"
        return SavedTask(tasks[name], valid_settings, _checked(tasks[name].load_schema(schema)))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        raise damaged(path, f"the {part} does not fit the task {name} (key '{key}': {first['msg']})") from None
    except KeyError as error:
        raise damaged(path, f"the schema does not fit the task {name} (key {error} is missing)") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise damaged(path, f"the schema does not fit the task {name} ({error})") from None


def _checked(schema: Any) -> Any:
    """Return the schema of a task. Raises ValidationError for a value that does not have the type of its field."""
    values = json.dumps(asdict(schema))
    return TypeAdapter(type(schema)).validate_json(values, strict=True)

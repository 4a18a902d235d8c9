"""Typed JSON files: the base of the models in `run_records`, one reader and one writer for all of them.

A file that cannot be read gives the same one-line error wherever it is read: path, problem, remedy.
"""

import json
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from ft_toolkit.core.errors import RunFolderError
from ft_toolkit.core.files import is_inner_path, write_json

# The major version of all files of a run folder. New optional keys keep it; a change that an older reader would misread
# raises it. A file without the key was written before the key existed and has the format of version 1.
SCHEMA_VERSION = 1
REMEDY = "Restore the file from a copy, or repeat the run"
# Pydantic's names of JSON types that a reader of an error message would not expect.
_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "finite_number": "a finite number",
}


def _inner_path(name: str) -> str:
    if not is_inner_path(name):
        raise ValueError(f"found the path {name!r}; only paths inside the folder of the file are allowed")
    return name


# A path relative to the folder of its file. The file may come from a stranger, so it must not point to other files.
InnerPath = Annotated[str, AfterValidator(_inner_path)]


class Record(BaseModel):
    """Part of a JSON file: immutable, and tolerant of keys that a newer version added, which are kept."""

    model_config = ConfigDict(
        extra="allow", frozen=True, strict=True, allow_inf_nan=False, populate_by_name=True, protected_namespaces=()
    )

    def as_json(self) -> dict[str, Any]:
        """Return the keys that were read or set, as plain values, under the names that the file has."""
        return self.model_dump(by_alias=True, exclude_unset=True)


class FileRecord(Record):
    """A complete JSON file, with the version of its format."""

    schema_version: int = Field(default=SCHEMA_VERSION, ge=1, description="Major version of the format of this file")

    def as_json(self) -> dict[str, Any]:
        """Return the keys that were read or set, and the version."""
        return {"schema_version": self.schema_version, **super().as_json()}


FileModel = TypeVar("FileModel", bound=FileRecord)


def read_record(path: Path, model: type[FileModel]) -> FileModel:
    """Return a JSON file as `model`. Raises RunFolderError when it is missing, damaged, foreign or too new."""
    return parse_record(path, read_object(path), model)


def write_record(path: Path, record: FileRecord) -> None:
    """Write a JSON file atomically."""
    write_json(path, record.as_json())


def read_object(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file. Raises RunFolderError."""
    value = _parse(path, read_text(path))
    if not isinstance(value, dict):
        raise damaged(path, f"expected a JSON object, found {_type_name(value)}")
    return value


def read_objects(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a JSON Lines file, in order; none when the file does not exist. Raises RunFolderError."""
    if not path.is_file():
        return []
    objects = []
    # not str.splitlines, which also breaks at U+2028, a character that json leaves as it is inside a string
    for number, line in enumerate(read_text(path, may_be_empty=True).split("\n"), 1):
        if line.strip():
            value = _parse(path, line, f" on line {number}")
            if not isinstance(value, dict):
                raise damaged(path, f"expected a JSON object on line {number}, found {_type_name(value)}")
            objects.append(value)
    return objects


def parse_record(path: Path, value: dict[str, Any], model: type[FileModel]) -> FileModel:
    """Return the content of the file `path` as `model`. Raises RunFolderError."""
    version = value.get("schema_version", SCHEMA_VERSION)
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise RunFolderError(
            f"{path}: the file has schema_version {version}, this version of ft_toolkit reads up to {SCHEMA_VERSION}. "
            "Upgrade with: pip install --upgrade ft-toolkit"
        )
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise damaged(path, _problems(error)) from None


def read_text(path: Path, *, may_be_empty: bool = False) -> str:
    """Return a text file. Raises RunFolderError."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise damaged(path, f"not UTF-8 text (byte {error.start})") from None
    except FileNotFoundError:
        raise damaged(path, "file not found") from None
    except OSError as error:
        raise damaged(path, f"cannot be read ({error.strerror})") from None
    if not text.strip() and not may_be_empty:
        raise damaged(path, "the file is empty")
    return text


def _parse(path: Path, text: str, where: str = "") -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        position = where or f" at line {error.lineno}, column {error.colno}"
        raise damaged(path, f"not valid JSON{position} ({error.msg})") from None
    except (ValueError, RecursionError) as error:  # NaN, a number of thousands of digits, or thousands of nested lists
        raise damaged(path, f"not valid JSON{where} ({error})") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _problems(error: ValidationError) -> str:
    """Return the first problem that pydantic found, and the number of the others."""
    first, *others = error.errors(include_url=False)
    key = ".".join(map(str, first["loc"]))
    if first["type"] == "missing":
        problem = f"key '{key}' is missing"
    elif first["type"] == "value_error":
        problem = str(first["ctx"]["error"])
    else:
        type_name = _EXPECTED.get(first["type"])
        expectation = f"expected {type_name}" if type_name else first["msg"]
        problem = f"key '{key}': {expectation}, found {_type_name(first['input'])}"
    more = f" (and {len(others)} more problem{'s' if len(others) > 1 else ''})" if others else ""
    return problem + more


def _type_name(value: Any) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    return "null" if value is None else json.dumps(value, ensure_ascii=False)[:40]


def damaged(path: Path, problem: str) -> RunFolderError:
    """Return the error for a file of a run folder that cannot be read."""
    return RunFolderError(f"{path}: {problem}. {REMEDY}")

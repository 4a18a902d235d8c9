"""Write files and folders whole or not at all."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside `target` and put it in `target`'s place at the end, if nothing was raised.

    A crash leaves the old folder, the new one, or (between two renames) the old one as `.NAME.old`, which `found_folder`
    knows.
    """
    fresh, old = target.with_name(f".{target.name}.new"), target.with_name(f".{target.name}.old")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    yield fresh
    for path in fresh.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    if target.exists():
        shutil.rmtree(old, ignore_errors=True)
        target.rename(old)
    fresh.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def found_folder(target: Path) -> Path | None:
    """Return where a folder written by `whole_folder` is, or None."""
    return next((path for path in (target, target.with_name(f".{target.name}.old")) if path.is_dir()), None)


@contextmanager
def whole_file(target: Path) -> Iterator[TextIO]:
    """Yield a text file beside `target` (`.NAME.new`) and put it in `target`'s place at the end, if nothing was raised."""
    fresh = target.with_name(f".{target.name}.new")
    with fresh.open("w", encoding="utf-8") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(target)


def write_file(target: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with whole_file(target) as file:
        file.write(text)


def write_json(target: Path, value: Any) -> None:
    """Write JSON, indented, whole or not at all; NaN is refused."""
    write_file(target, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")

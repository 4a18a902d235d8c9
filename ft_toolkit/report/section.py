"""Sections of the report page: one file in `sections/` with its template beside it.

`sections/slices.py` ends with `SECTION = Section(order=..., title=..., build=...)`, and `sections/slices.html.j2` shows what
`build` returned as `content`. The page finds sections by their file names, which are also their anchors.
"""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from ft_toolkit.report import sections
from ft_toolkit.report.run_files import RunFiles


@dataclass(frozen=True)
class Section:
    """A section: its position on the page, its title, and run -> content. Empty content leaves the section out."""

    order: int
    title: str
    build: Callable[[RunFiles], Any]


@dataclass(frozen=True)
class SplitContent:
    """The content of a section for one split."""

    split: str
    n: int
    content: Any


def per_split(build: Callable[[RunFiles, str], Any]) -> Callable[[RunFiles], list[SplitContent]]:
    """Return a `build` for a section that shows every split: the splits with content, the most trustworthy first."""

    def build_all(run: RunFiles) -> list[SplitContent]:
        contents = [SplitContent(split, run.results.scores[split].n, build(run, split)) for split in run.splits]
        return [content for content in contents if content.content]

    return build_all


@cache
def find_sections() -> dict[str, Section]:
    """Return the sections of the folder `sections/` by file name, in the order of the page."""
    by_name = {
        module.name: importlib.import_module(f"{sections.__name__}.{module.name}").SECTION
        for module in pkgutil.iter_modules(sections.__path__)
    }
    return dict(sorted(by_name.items(), key=lambda item: (item[1].order, item[0])))

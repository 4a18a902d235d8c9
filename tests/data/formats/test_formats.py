"""All formats and layouts: each is found in its folder and has a test file of its own."""

import re
from pathlib import Path

from ft_toolkit.data import formats, layouts


def modules(package):
    """Return the names of the modules of a package that are parts of it."""
    return {path.stem for path in Path(package.__file__).parent.glob("*.py")} - {"__init__", "base"}


def names_of_tests(folder):
    """Return the names that the test files of a folder are for."""
    return {path.stem.removeprefix("test_") for path in folder.glob("test_*.py")} - {"formats"}


def test_every_module_of_the_folder_is_a_format_with_a_test():
    found = [*formats.file_formats(), *formats.folder_formats()]
    assert {file_format.name for file_format in found} == modules(formats) == names_of_tests(Path(__file__).parent)
    assert {".csv", ".tsv", ".json", ".jsonl", ".parquet", ".conll", ".txt"} <= set(formats.find_formats())
    assert all(re.fullmatch(r"\.[a-z0-9]+", suffix) for suffix in formats.find_formats())


def test_every_layout_has_a_test():
    found = {layout.name for layout in layouts.find_layouts()}
    assert found == modules(layouts) == names_of_tests(Path(__file__).parents[1] / "layouts")

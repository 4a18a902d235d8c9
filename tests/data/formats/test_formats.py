"""All formats: each is found in its folder and has a test file of its own."""

import re
from pathlib import Path

from ft_toolkit.data import formats


def test_every_module_of_the_folder_is_a_format_with_a_test():
    modules = {path.stem for path in Path(formats.__file__).parent.glob("*.py")} - {"__init__", "base"}
    tests = {path.stem.removeprefix("test_") for path in Path(__file__).parent.glob("test_*.py")} - {"formats"}
    found = formats.find_formats()
    assert {file_format.name for file_format in found.values()} == modules == tests
    assert set(found) == {".csv", ".tsv", ".json", ".jsonl", ".parquet", ".conll", ".txt"}
    assert all(re.fullmatch(r"\.[a-z]+", suffix) for suffix in found)

"""The form of translation data sets on the Hub."""

import json

from ft_toolkit.data.local_files import read_file


def test_every_language_is_a_column(write_file):
    rows = [{"translation": {"en": "a", "ro": "b"}}, {"translation": {"en": "c", "ro": "d"}}]
    read = read_file(write_file("a.json", "\n".join(map(json.dumps, rows))))
    assert [(row["en"], row["ro"], row["translation"]["ro"]) for row in read] == [("a", "b", "b"), ("c", "d", "d")]

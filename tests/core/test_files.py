"""Folders and files that are written as a whole."""

from pathlib import Path

import pytest

from ft_toolkit.core.files import atomic_folder


def test_an_error_leaves_nothing_of_the_new_folder(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), atomic_folder(tmp_path / "out") as fresh:
        (fresh / "a").write_text("private")
        _ = 1 / 0
    assert list(tmp_path.iterdir()) == []

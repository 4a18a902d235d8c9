"""Fixtures for tests that read data files."""

import pytest

from ft_toolkit.core.errors import DataError
from ft_toolkit.data.local_files import read_file


@pytest.fixture
def write_file(tmp_path):
    """Return a function that writes text or bytes to a file and returns its path."""

    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.fixture
def error_of():
    """Return a function that reads an invalid file and returns the error message without the folder."""

    def error(path):
        with pytest.raises(DataError) as caught:
            read_file(path)
        assert str(path) in str(caught.value)
        return str(caught.value).replace(f"{path.parent}/", "")

    return error

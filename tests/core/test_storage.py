"""One rule for errors of the file system: path, reason, remedy, and the command to resume."""

import errno
import os
import resource
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models

from ft_toolkit.core.errors import StorageError
from ft_toolkit.core.files import write_file
from ft_toolkit.core.storage import StorageErrors, describe_storage_error


@pytest.fixture
def small_files():
    """Limit the size of a file to 64 kB, as `ulimit -f 64` does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def write_with_torch(path: Path) -> None:
    with path.open("wb") as file:
        torch.save({"a": torch.zeros(100_000)}, file)


WRITERS = {
    "text": lambda path: write_file(path, "x" * 200_000),
    "torch": write_with_torch,
    "safetensors": lambda path: save_file({"a": torch.zeros(100_000)}, path),
    "tokenizers": lambda path: Tokenizer(models.WordLevel({str(i): i for i in range(9000)}, unk_token="1")).save(
        str(path)
    ),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_every_library_that_writes_gives_the_same_message(tmp_path: Path, small_files: None, writer: str) -> None:
    with pytest.raises(StorageError) as raised, StorageErrors(tmp_path, "ftk run x --resume"):
        WRITERS[writer](tmp_path / "file")
    path = tmp_path / ".file.new" if writer == "text" else tmp_path
    assert str(raised.value) == (
        f"{path}: File too large. The limit for the size of a file is too low: see 'ulimit -f'. Then resume with:\n"
        "  ftk run x --resume"
    )


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "No space left on device. The disk is full: free some space"),
        (errno.EROFS, "Read-only file system. The file system is read-only: choose a folder on another one"),
        (errno.EACCES, "Permission denied. Change the permissions, or choose another folder"),
        (errno.ENAMETOOLONG, "File name too long. Choose a shorter path"),
        (errno.ENOENT, "No such file or directory. The file or its folder does not exist, or was removed"),
    ],
)
def test_the_message_names_path_reason_and_remedy(number: int, words: str) -> None:
    text = describe_storage_error(OSError(number, os.strerror(number), "/data/x"))
    assert text is not None and text.startswith(f"/data/x: {words}")


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError(104, "reset"),
        TimeoutError(110, "timed out"),
        OSError("no number"),
        ValueError("a bug"),
        KeyError(28),
    ],
)
def test_other_errors_stay_as_they_are(error: Exception) -> None:
    with pytest.raises(type(error)) as raised, StorageErrors(Path("x")):
        raise error
    assert raised.value is error


def test_a_bug_while_an_error_is_handled_stays_a_bug() -> None:
    def fail() -> None:
        try:
            raise OSError(errno.ENOSPC, "full")
        except OSError:
            raise ValueError("a bug")  # noqa: B904 - the context is the point

    with pytest.raises(ValueError, match="a bug"), StorageErrors(Path("x")):
        fail()

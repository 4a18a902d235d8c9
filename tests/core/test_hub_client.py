"""The files of a snapshot in the Hub's cache are compared with the hashes in their names."""

import hashlib
from pathlib import Path

import pytest

from ft_toolkit.core.hub_client import UntrustedAnswerError, verify_files

CONTENT = b"weights"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def make_snapshot(folder: Path, announced: str, content: bytes, *, is_shared: bool) -> Path:
    """Return a snapshot with one file: a link to its blob, which may be a link to a file that models share."""
    snapshot, blobs = folder / "snapshots" / "c0ffee", folder / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    if is_shared:
        shared = folder.parent / "shared" / ("f" * 64)  # the name is Xet's hash
        shared.parent.mkdir()
        shared.write_bytes(content)
        (blobs / announced).symlink_to(shared)
    else:
        (blobs / announced).write_bytes(content)
    (snapshot / "model.safetensors").symlink_to(Path("../../blobs") / announced)
    return snapshot


@pytest.mark.parametrize("is_shared", [False, True])
def test_a_file_with_the_announced_content_is_kept(tmp_path: Path, is_shared: bool) -> None:
    snapshot = make_snapshot(tmp_path / "model", SHA256, CONTENT, is_shared=is_shared)
    verify_files(snapshot, since=0)
    assert (snapshot / "model.safetensors").read_bytes() == CONTENT


@pytest.mark.parametrize("is_shared", [False, True])
def test_a_file_with_other_content_is_deleted(tmp_path: Path, is_shared: bool) -> None:
    snapshot = make_snapshot(tmp_path / "model", SHA256, b"other", is_shared=is_shared)
    with pytest.raises(UntrustedAnswerError, match=f"the Hub announced {SHA256}"):
        verify_files(snapshot, since=0)
    assert [path for path in tmp_path.rglob("*") if path.is_file() or path.is_symlink()] == []


def test_files_of_an_earlier_download_are_not_read_again(tmp_path: Path) -> None:
    snapshot = make_snapshot(tmp_path / "model", SHA256, b"other", is_shared=False)
    verify_files(snapshot, since=2**40)

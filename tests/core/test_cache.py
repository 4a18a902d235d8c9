"""The cache with several processes and users."""

import shutil
from pathlib import Path

import pytest

from ft_toolkit.core import cache
from ft_toolkit.core.errors import UsageError


@pytest.fixture(autouse=True)
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv(cache.PLACE, str(tmp_path))
    return tmp_path


def _write(folder: Path) -> None:
    (folder / "file").write_text("content")


def test_an_entry_that_disappears_while_it_is_read_is_no_entry() -> None:
    entry = cache.add("kind", "key", _write)
    assert entry is not None

    def read(folder: Path) -> str:
        shutil.rmtree(entry)  # another process has removed it
        return (folder / "file").read_text()

    assert cache.read("kind", "key", read) is None
    assert cache.read("kind", "key", lambda folder: "never called") is None


def test_a_part_of_an_entry_is_not_returned(place: Path) -> None:
    rest = place / "kind" / "key"
    rest.mkdir(parents=True)
    (rest / "file").write_text("cont")  # of a process that was killed while it removed the entry, or of another user
    assert cache.add("kind", "key", _write) is None
    assert cache.find("kind", "key") is None
    assert cache.add("kind", "key", _write) == rest
    assert cache.read("kind", "key", lambda folder: (folder / "file").read_text()) == "content"
    assert [path.name for path in (place / "kind").iterdir()] == ["key"]


def test_mapped_files_of_a_removed_entry_stay_readable(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ft_toolkit.data.stored_rows import StoredRows, store_rows

    stored = [{"id": str(i), "text": "long text " * 100} for i in range(100)]
    cache.add("kind", "first", lambda folder: store_rows(stored, folder / "rows.arrow"))
    rows = cache.read("kind", "first", lambda folder: StoredRows(folder / "rows.arrow"))
    assert rows is not None
    monkeypatch.setenv(cache.LIMIT, "0")
    cache.add("kind", "second", _write)
    assert [path.name for path in (place / "kind").iterdir()] == ["second"]
    assert list(rows) == stored


@pytest.mark.parametrize("limit", ["20 GiB", "-1", "nan", ""])
def test_an_invalid_limit_is_an_error_before_anything_is_written(
    limit: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(cache.LIMIT, limit)
    with pytest.raises(UsageError, match="FT_TOOLKIT_CACHE_GIB must be the size limit of the cache in GiB"):
        cache.add("kind", "key", _write)
    assert not list(place.iterdir())

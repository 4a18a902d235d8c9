"""Compressed data files."""

import bz2
import gzip
import io
import lzma
import tarfile
import tracemalloc
import zipfile

import pytest

from ft_toolkit.core.errors import DataError
from ft_toolkit.data import local_files
from ft_toolkit.data.local_files import check_file, is_file_name, read_file, read_table
from ft_toolkit.data.unpacking import count_bytes, open_unpacked

CSV = b"text,label\nx,a\n"
ROWS = [{"text": "x", "label": "a"}]


def zip_of(**files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            # A fixed date: the bytes are part of the names of tests, and each worker collects the tests at another time.
            info = zipfile.ZipInfo(name if "/" in name else name.replace("__", "."), (2026, 1, 1, 0, 0, 0))
            archive.writestr(info, content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "compression"),
    [
        ("a.csv.gz", gzip.compress(CSV, mtime=0), "gzip"),
        ("a.csv", gzip.compress(CSV, mtime=0), "gzip"),
        ("a.jsonl.gz", gzip.compress(b'{"text": "x", "label": "a"}\n', mtime=0), "gzip"),
        ("a.csv.bz2", bz2.compress(CSV), "bzip2"),
        ("a.csv.xz", lzma.compress(CSV), "xz"),
        ("a.zip", zip_of(train__csv=CSV), "zip"),
        ("a.csv.zip", zip_of(a__csv=CSV), "zip"),
        ("a.csv.gz", CSV, None),
    ],
)
def test_compressed_files(write_file, name, content, compression):
    path = write_file(name, content)
    check_file(path)
    table = read_table(path)
    assert (table.rows, table.compression) == (ROWS, compression) and is_file_name(name)


def test_zstd(write_file):
    zstandard = pytest.importorskip("zstandard")
    assert read_file(write_file("a.csv.zst", zstandard.compress(CSV))) == ROWS
    with pytest.raises(DataError, match="damaged zstd file"):
        read_file(write_file("b.csv.zst", zstandard.compress(CSV)[:-4]))


def test_a_zip_file_with_several_files_needs_a_name(write_file):
    path = write_file("a.zip", zip_of(train__csv=CSV, test__csv=CSV, **{"__MACOSX/x": b""}))
    with pytest.raises(DataError, match=r"holds 2 files .*train\.csv, test\.csv") as caught:
        read_file(path)
    assert f"data.train={path}/train.csv" in str(caught.value)
    assert read_file(path / "test.csv") == ROWS and is_file_name(str(path / "test.csv"))
    with pytest.raises(DataError, match=r"no file 'tset\.csv' in the archive.*Did you mean 'test\.csv'"):
        read_file(path / "tset.csv")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv.gz", gzip.compress(CSV, mtime=0)[:-6]),
        ("a.csv.gz", gzip.compress(CSV, mtime=0)[:-8] + b"12345678"),
        ("a.csv.bz2", bz2.compress(CSV)[:-3]),
        ("a.csv.xz", lzma.compress(CSV)[:-3]),
        ("a.zip", zip_of(a__csv=CSV)[:40]),
    ],
)
def test_damaged_files_are_refused(write_file, error_of, name, content):
    assert "damaged" in (message := error_of(write_file(name, content))) or "cannot be read" in message


def test_a_tar_archive_is_refused(tmp_path):
    (tmp_path / "a.csv").write_bytes(CSV)
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "a.csv", "a.csv")
    with pytest.raises(DataError, match=r"a\.tar\.gz: is a tar archive; unpack it"):
        read_file(tmp_path / "a.tar.gz")


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zst", ".zip"])
def test_the_memory_does_not_grow_with_the_content(tmp_path, suffix):
    content, path = (b"a" * 999 + b"\n") * 50_000, tmp_path / f"a.txt{suffix}"
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.txt", content)
    elif suffix == ".zst":
        path.write_bytes(pytest.importorskip("zstandard").compress(content))
    else:
        compress = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lambda data: lzma.compress(data, preset=0)}
        path.write_bytes(compress[suffix](content))
    n_bytes = len(content)
    assert path.stat().st_size < n_bytes / 300
    del content
    tracemalloc.start()
    try:
        assert count_bytes([path], 10**12) == n_bytes
        with open_unpacked(path) as unpacked:
            assert sum(map(len, iter(lambda: unpacked.file.read(2**16), b""))) == n_bytes
        assert tracemalloc.get_traced_memory()[1] < n_bytes / 3
    finally:
        tracemalloc.stop()


def test_the_check_before_a_run_reads_the_beginning_of_a_long_file(write_file, monkeypatch):
    monkeypatch.setattr(local_files, "_CHECKED_BYTES", 2000)
    lines = b"".join(b'{"text": "%d", "label": "a"}\n' % i for i in range(60_000))
    damaged = write_file("a.gz", gzip.compress(lines, mtime=0)[:-6])
    check_file(damaged)
    with pytest.raises(DataError, match="damaged gzip file"):
        read_file(damaged)
    check_file(write_file("b.gz", gzip.compress(lines.replace(b"\n", b" ", 1000), mtime=0)))  # a first line of 28 kB
    with pytest.raises(DataError, match="unknown file type"):
        check_file(write_file("c.gz", gzip.compress(b"text\n" * 1000, mtime=0)))

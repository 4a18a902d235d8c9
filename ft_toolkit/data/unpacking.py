"""Read compressed data files as streams: gzip, zstd, bzip2, xz and zip, recognized by their first bytes.

A part of the content is unpacked at a time, so that the memory depends on what the caller keeps, and not on the size of the
content: a small file may unpack to many gigabytes.
"""

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from ft_toolkit.core.errors import DataError, did_you_mean, one_of

_ZIP, _ZSTD = b"PK\x03\x04", b"\x28\xb5\x2f\xfd"
_MAGIC: dict[bytes, tuple[str, Callable[[IO[bytes]], Any]]] = {
    b"\x1f\x8b": ("gzip", lambda file: gzip.GzipFile(fileobj=file)),
    b"BZh": ("bzip2", bz2.BZ2File),
    b"\xfd7zXZ\x00": ("xz", lzma.LZMAFile),
    _ZSTD: ("zstd", lambda file: _ZstdFile(file)),
}
SUFFIXES = (".gz", ".gzip", ".zst", ".bz2", ".xz", ".zip")
# Files that archive programs add; they hold no rows.
_IGNORED = ("__MACOSX/", ".DS_Store", "desktop.ini")
# Bytes that are unpacked at a time. zstd, and bzip2 and lzma in a zip file, unpack all that they are given instead.
_PART = 2**20
# Compressed bytes that bzip2 and lzma in a zip file are given at a time, the least that `zipfile` allows. In this rare form, a
# file that is made to unpack to much more than a text, 45 MB from 50 bytes, still fills the memory.
_ZIP_PART = 2**12
# Compressed bytes that zstd is given at a time: at most 8 MiB of content (32,768 times as many).
_ZSTD_PART = 2**8


@dataclass(frozen=True)
class Unpacked:
    """The content of an open file, its suffix (.csv for rows.csv.gz), and the compression (None if it has none).

    `packed` is the file on the disk, with `packed_size` bytes.
    """

    file: IO[bytes]
    suffix: str
    compression: str | None
    packed: IO[bytes]
    packed_size: int

    def estimated_size(self, n_read: int) -> int:
        """Return about how many bytes the content has, of which `n_read` bytes were read."""
        return int(n_read * self.packed_size / max(1, self.packed.tell()))


def split_member(path: Path) -> tuple[Path, str | None]:
    """Return a path, and the file inside it if a folder of the path is a zip file: data.zip/train.csv."""
    for parent in path.parents:
        if parent.suffix.lower() == ".zip" and parent.is_file():
            return parent, path.relative_to(parent).as_posix()
    return path, None


@contextmanager
def open_unpacked(path: Path) -> Iterator[Unpacked]:
    """Open a file, or a file inside a zip file, to read its content. Raises DataError, also while it is read.

    A zip file must hold one file, unless the path names one. Office files, which are zip files, are not unpacked.
    """
    file, member = split_member(path)
    suffixes = [suffix.lower() for suffix in file.suffixes]
    suffix = suffixes[-1] if suffixes else ""
    inner_suffix = next((suffix for suffix in reversed(suffixes) if suffix not in SUFFIXES), "")
    try:
        with file.open("rb") as packed:
            size, start = file.stat().st_size, packed.read(8)
            packed.seek(0)
            if start.startswith(_ZIP) and (suffix == ".zip" or member is not None):
                with _open_zip(packed, file, member) as (content, name):
                    yield Unpacked(content, PurePosixPath(name).suffix.lower(), "zip", packed, size)
                return
            for magic, (compression, opener) in _MAGIC.items():
                if start.startswith(magic):
                    with _open_compressed(packed, file, compression, opener) as content:
                        yield Unpacked(content, inner_suffix, compression, packed, size)
                    return
            yield Unpacked(packed, inner_suffix if suffix in SUFFIXES else suffix, None, packed, size)
    except OSError as error:
        raise DataError(f"{file}: cannot read the file: {error.strerror or error}") from None


def count_bytes(paths: Iterable[Path], at_most: int) -> int:
    """Return the number of bytes of the content of files, or `at_most` if there are more. Raises DataError.

    The size of a compressed file is unknown before it is unpacked: it is unpacked up to `at_most` bytes, and nothing is kept.
    """
    n_bytes = 0
    for path in paths:
        with open_unpacked(path) as content:
            if content.compression is None:
                n_bytes += content.packed_size
            else:
                while n_bytes < at_most and (part := content.file.read(min(_PART, at_most - n_bytes))):
                    n_bytes += len(part)
        if n_bytes >= at_most:
            return at_most
    return n_bytes


class _CheckedFile(io.RawIOBase):
    """The content of a compressed file, whose damages are errors with the name of the file."""

    def __init__(
        self,
        content: Any,
        errors: tuple[type[Exception], ...],
        refuse: Callable[[Exception], DataError],
        most: int = _PART,
    ) -> None:
        self._content, self._errors, self._refuse, self._most = content, errors, refuse, most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        data = self._read(min(len(view), self._most))
        view[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        return self._read(-1)

    def _read(self, size: int) -> bytes:
        try:
            data: bytes = self._content.read(size)
        except self._errors as error:
            raise self._refuse(error) from None
        return data


@contextmanager
def _open_compressed(
    packed: IO[bytes], path: Path, compression: str, opener: Callable[[IO[bytes]], Any]
) -> Iterator[IO[bytes]]:
    def refuse(error: Exception) -> DataError:
        return DataError(f"{path}: damaged {compression} file ({error}). Download or compress it again")

    if compression == "zstd":
        _import_zstandard(path)
    errors = (OSError, EOFError, lzma.LZMAError, zlib.error, ValueError)
    with io.BufferedReader(_CheckedFile(opener(packed), errors, refuse), _PART) as content:
        yield content


@contextmanager
def _open_zip(packed: IO[bytes], path: Path, member: str | None) -> Iterator[tuple[IO[bytes], str]]:
    errors = (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        NotImplementedError,
        RuntimeError,
        ValueError,
        OSError,
        EOFError,
    )  # RuntimeError: needs a password; ValueError and below: damaged offsets and members

    def refuse(error: Exception) -> DataError:
        return DataError(f"{path}: the zip file cannot be read ({error}). Unpack it, and give the file inside")

    try:
        archive = zipfile.ZipFile(packed)
        name = _member_name(archive, path, member)
        opened = archive.open(name)
    except errors as error:
        raise refuse(error) from None
    is_bounded = archive.getinfo(name).compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    most = _PART if is_bounded else _ZIP_PART
    with archive, io.BufferedReader(_CheckedFile(opened, errors, refuse, most), _PART) as content:
        yield content, name


def _member_name(archive: zipfile.ZipFile, path: Path, member: str | None) -> str:
    """Return the name of the only file of an archive, or of the file `member`. Raises DataError."""
    names = [
        name
        for name in archive.namelist()
        if not name.endswith("/") and not any(name.startswith(i) or name.endswith(i) for i in _IGNORED)
    ]
    if member is not None and member not in names:
        raise DataError(
            f"{path}: no file '{member}' in the archive; it holds {one_of(names)}.{did_you_mean(member, names)}"
        )
    if member is None and len(names) != 1:
        example = f", e.g. data.train={path}/{names[0]}" if names else ""
        raise DataError(f"{path}: the archive holds {len(names)} files ({one_of(names)}); name one of them{example}")
    return member or names[0]


def _import_zstandard(path: Path) -> Any:
    """Return the package zstandard. Raises DataError if it is missing."""
    try:
        import zstandard
    except ImportError:
        raise DataError(
            f"{path}: reading zstd files needs the package zstandard: pip install 'ft-toolkit[formats]'"
        ) from None
    return zstandard


class _ZstdFile:
    """The content of a zstd file, which may have several frames."""

    def __init__(self, packed: IO[bytes]) -> None:
        self._packed = packed
        self._frame: Any = None
        self._rest, self._data = b"", memoryview(b"")

    def read(self, size: int = -1) -> bytes:
        """Return some bytes, at most `size`; all of them for -1. Raises ValueError for a damaged file."""
        if size < 0:
            return b"".join(iter(lambda: self.read(_PART), b""))
        while not self._data and self._unpack():
            pass
        data, self._data = self._data[:size].tobytes(), self._data[size:]
        return data

    def _unpack(self) -> bool:
        """Unpack the next bytes; return False at the end of the file."""
        import zstandard

        packed, self._rest = self._rest or self._packed.read(_ZSTD_PART), b""
        if not packed:
            if self._frame is not None:
                raise ValueError("it ends in the middle of a frame")
            return False
        self._frame = self._frame or zstandard.ZstdDecompressor().decompressobj()
        try:
            self._data = memoryview(self._frame.decompress(packed))
        except zstandard.ZstdError as error:
            raise ValueError(error) from None
        if self._frame.eof:
            self._rest, self._frame = self._frame.unused_data, None
        return True

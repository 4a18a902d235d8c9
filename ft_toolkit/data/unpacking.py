"""Unpack compressed data files: gzip, zstd, bzip2, xz and zip, recognized by their first bytes."""

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from ft_toolkit.core.errors import DataError, did_you_mean, one_of

_ZIP, _ZSTD = b"PK\x03\x04", b"\x28\xb5\x2f\xfd"
_MAGIC: dict[bytes, tuple[str, Callable[[bytes], bytes]]] = {
    b"\x1f\x8b": ("gzip", gzip.decompress),
    b"BZh": ("bzip2", bz2.decompress),
    b"\xfd7zXZ\x00": ("xz", lzma.decompress),
}
SUFFIXES = (".gz", ".gzip", ".zst", ".bz2", ".xz", ".zip")
# Files that archive programs add; they hold no rows.
_IGNORED = ("__MACOSX/", ".DS_Store", "desktop.ini")


def split_member(path: Path) -> tuple[Path, str | None]:
    """Return a path, and the file inside it if a folder of the path is a zip file: data.zip/train.csv."""
    for parent in path.parents:
        if parent.suffix.lower() == ".zip" and parent.is_file():
            return parent, path.relative_to(parent).as_posix()
    return path, None


def unpack(data: bytes, path: Path, member: str | None = None) -> tuple[bytes, str, str | None]:
    """Return the content of a file, its suffix (.csv for rows.csv.gz), and the compression (None if it has none).

    A zip file must hold one file, unless `member` names one. Office files, which are zip files, are not unpacked. Raises
    DataError for a damaged file.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    inner_suffix = next((suffix for suffix in reversed(suffixes) if suffix not in SUFFIXES), "")
    suffix = suffixes[-1] if suffixes else ""
    if data.startswith(_ZIP) and (suffix == ".zip" or member is not None):
        data, name = _unzip(data, path, member)
        return data, PurePosixPath(name).suffix.lower(), "zip"
    if data.startswith(_ZSTD):
        return _unpack_zstd(data, path), inner_suffix, "zstd"
    for magic, (compression, decompress) in _MAGIC.items():
        if data.startswith(magic):
            try:
                return decompress(data), inner_suffix, compression
            except (OSError, EOFError, lzma.LZMAError, zlib.error, ValueError) as error:
                raise DataError(
                    f"{path}: damaged {compression} file ({error}). Download or compress it again"
                ) from None
    return data, inner_suffix if suffix in SUFFIXES else suffix, None


def _unzip(data: bytes, path: Path, member: str | None) -> tuple[bytes, str]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
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
                raise DataError(
                    f"{path}: the archive holds {len(names)} files ({one_of(names)}); name one of them{example}"
                )
            name = member or names[0]
            return archive.read(name), name
    except (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        NotImplementedError,
        RuntimeError,
        ValueError,
        OSError,
        EOFError,
    ) as error:  # RuntimeError: needs a password; ValueError and below: damaged offsets and members
        raise DataError(f"{path}: the zip file cannot be read ({error}). Unpack it, and give the file inside") from None


def _unpack_zstd(data: bytes, path: Path) -> bytes:
    try:
        import zstandard
    except ImportError:
        raise DataError(
            f"{path}: reading zstd files needs the package zstandard: pip install 'ft-toolkit[formats]'"
        ) from None
    try:
        unpacked = b""
        while data:  # a file may have several frames
            frame = zstandard.ZstdDecompressor().decompressobj()
            unpacked += frame.decompress(data)
            if not frame.eof:
                raise DataError(
                    f"{path}: damaged zstd file (it ends in the middle of a frame). Download or compress it again"
                )
            data = frame.unused_data
        return unpacked
    except zstandard.ZstdError as error:
        raise DataError(f"{path}: damaged zstd file ({error}). Download or compress it again") from None

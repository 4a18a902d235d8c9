"""Find rows that a model was trained on, by hashes of their inputs. A model folder keeps the hashes, not the texts."""

import hashlib
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ft_toolkit.core.files import atomic_binary_file
from ft_toolkit.core.json_records import damaged
from ft_toolkit.core.run_folder import TRAINING_ROWS
from ft_toolkit.tasks.base import Row, Rows, Task, input_texts

# Hashes that a model folder keeps: 400 kB. Of more hashes, the smallest are kept, which is a random sample.
LIMIT = 50_000
_EVERY_HASH = 2**64 - 1


@dataclass(frozen=True)
class SeenRows:
    """The sorted hashes of the inputs of the training rows, up to and including the hash `bound`; larger ones are unknown."""

    hashes: np.ndarray
    bound: int = _EVERY_HASH

    @property
    def is_sample(self) -> bool:
        """Whether only a part of the hashes is known, so that a count is an estimate."""
        return self.bound < _EVERY_HASH

    def count(self, hashes: np.ndarray) -> int:
        """Return the number of rows whose inputs are among the training rows, estimated if only a sample is known.

        `hashes` are those of `input_hashes`.
        """
        checked = hashes[hashes <= np.uint64(self.bound)]
        seen = int(np.isin(checked, self.hashes).sum())
        return round(seen / len(checked) * len(hashes)) if len(checked) else 0


def input_hash(row: Row, task: Task) -> int:
    """Return a 64-bit hash of the inputs of a row, without regard to case, white space and Unicode form."""
    texts = [folded_text(text) for text in input_texts(row, task)]
    content = "\0".join(texts).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big")


def input_hashes(rows: Iterable[Row], task: Task, n_rows: int = -1) -> np.ndarray:
    """Return the hash of the inputs of each row, shape (rows,). The number of rows saves memory."""
    return np.fromiter((input_hash(row, task) for row in rows), np.uint64, n_rows)


def hash_text(number: int) -> str:
    """Return a 64-bit hash as 16 hexadecimal digits, for files that JavaScript reads."""
    return f"{number:016x}"


def folded_text(text: str) -> str:
    """Return a text without regard to case, Unicode form and the kind and number of white spaces."""
    folded = text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()
    return " ".join(folded.split())


def find_seen_rows(rows: Rows, task: Task, limit: int | None = None) -> SeenRows:
    """Return the hashes of the training rows: all of them, or the `limit` smallest ones."""
    hashes = np.unique(input_hashes(rows, task))
    if limit is None or len(hashes) <= limit:
        return SeenRows(hashes)
    return SeenRows(hashes[:limit], int(hashes[limit - 1]))


def merge_seen_rows(parts: Sequence[SeenRows], limit: int) -> SeenRows:
    """Return the hashes that any of several models was trained on, at most the `limit` smallest ones."""
    bound = min(part.bound for part in parts)
    hashes = np.unique(np.concatenate([part.hashes for part in parts]))
    hashes = hashes[hashes <= np.uint64(bound)]
    return SeenRows(hashes, bound) if len(hashes) <= limit else SeenRows(hashes[:limit], int(hashes[limit - 1]))


def write_seen_rows(model_folder: Path, seen: SeenRows) -> None:
    """Write the hashes to a file of the model folder."""
    with atomic_binary_file(model_folder / TRAINING_ROWS) as file:
        np.savez_compressed(file, hashes=seen.hashes, bound=np.array(seen.bound, np.uint64))


def read_seen_rows(model_folder: Path) -> SeenRows | None:
    """Return the hashes of a model folder, None for a folder of an older version without them. Raises RunFolderError."""
    path = model_folder / TRAINING_ROWS
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return SeenRows(archive["hashes"], int(archive["bound"]))
    except (KeyError, OSError, EOFError, ValueError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise damaged(path, f"not a valid npz file ({error})") from None

"""Equal and nearly equal texts: repeated within a split, shared by two splits, or with different labels."""

import zlib
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np

from ft_toolkit.core.errors import UsageError
from ft_toolkit.data.faults.fault import AuditedRows, Case, Fault
from ft_toolkit.data.seen_rows import folded_text

# Two rows are nearly equal if each of their input texts shares this part of its sequences of 5 characters (Jaccard
# similarity). One changed word of 12 leaves about 0.8. Two questions about one article are not nearly equal.
SIMILARITY = 0.7
_WIDTH = 5
# 20 bands of 5 hash values find a pair with similarity 0.7 with probability 0.97, and one with 0.8 with 0.9996; a pair with
# similarity 0.1 becomes a candidate with probability 0.0002 (Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, 3.4).
_BANDS, _BAND_SIZE = 20, 5
# A row is compared with at most this many candidates, and at most this many rows of a group are candidates. Otherwise ten
# thousand copies of a form letter take hours.
_MOST_CANDIDATES, _MOST_MEMBERS = 20, 10


def find_repeated(rows: AuditedRows) -> list[Fault]:
    """Find equal inputs, without regard to case, white space and Unicode form."""
    repeated, shared, contradictory = [], [], []
    for group in rows.groups():
        numbers = tuple(group.tolist())
        answers = {rows.answer(row) for row in numbers}
        if rows.has_labels and len(answers) > 1:
            contradictory.append(Case(numbers, " / ".join(sorted(answers))))
        if rows.across_splits(numbers):
            shared.append(Case(numbers))
        if len(numbers) > len({rows.splits[row] for row in numbers}):
            repeated.append(Case(numbers))
    return [
        Fault(
            "leaks",
            "equal texts in two splits",
            "remove them from one of the splits; a score on rows that the model was trained on is too high",
            shared,
        ),
        Fault(
            "contradictions",
            "equal texts, different labels",
            "decide on one label; no model can predict both",
            contradictory,
        ),
        Fault(
            "duplicates",
            "equal texts within a split",
            "keep one row, unless repeated texts are normal in your data",
            repeated,
        ),
    ]


def find_similar(rows: AuditedRows, report: Callable[[int, int], None]) -> list[Fault]:
    """Find texts that share at least SIMILARITY of their 5-character sequences and are not equal.

    `report` is called with the number of compared texts and their total. Raises UsageError if datasketch is not installed.
    """
    clusters = list(_clusters(rows, report))
    shared = [Case(cluster) for cluster in clusters if rows.across_splits(cluster)]
    contradictory = [
        Case(cluster, " / ".join(sorted({rows.answer(row) for row in cluster})))
        for cluster in clusters
        if rows.has_labels and len({rows.answer(row) for row in cluster}) > 1
    ]
    within = [Case(cluster) for cluster in clusters if not rows.across_splits(cluster)]
    return [
        Fault(
            "near_leaks",
            "nearly equal texts in two splits",
            "look at them; if they are copies, remove them from one of the splits",
            shared,
        ),
        Fault(
            "near_contradictions",
            "nearly equal texts, different labels",
            "look at them; often one of the labels is wrong",
            contradictory,
        ),
        Fault("near_duplicates", "nearly equal texts within a split", "look at them; keep one row of copies", within),
    ]


def _clusters(rows: AuditedRows, report: Callable[[int, int], None]) -> Iterator[tuple[int, ...]]:
    """Yield groups of rows with similar texts, ascending; the rows of a group are connected by pairs of similar texts."""
    try:
        from datasketch import MinHash, MinHashLSH
    except ImportError:
        raise UsageError(
            "ftk data audit compares texts with the package datasketch, which is not installed; install ft-toolkit[audit]"
        ) from None
    _, first = np.unique(rows.keys, return_index=True)  # equal texts are another fault
    distinct = sorted(first.tolist())
    n_hashes = _BANDS * _BAND_SIZE
    index = MinHashLSH(num_perm=n_hashes, params=(_BANDS, _BAND_SIZE))
    empty = MinHash(num_perm=n_hashes, seed=1, hashfunc=zlib.crc32)
    parent, sizes = {row: row for row in distinct}, Counter(distinct)
    for done, row in enumerate(distinct):
        if done % 1000 == 0:
            report(done, len(distinct))
        sequences = _sequences(rows.text(row))
        if not sequences:
            continue
        sketch = empty.copy()
        sketch.update_batch([sequence.encode("utf-8", "surrogatepass") for sequence in sequences])
        for other in sorted(index.query(sketch))[:_MOST_CANDIDATES]:
            group, new = _root(parent, other), _root(parent, row)
            if group != new and _are_similar(rows.inputs(row), rows.inputs(other)):
                parent[new] = group
                sizes[group] += sizes[new]
        if sizes[_root(parent, row)] <= _MOST_MEMBERS:
            index.insert(row, sketch, check_duplication=False)
    report(len(distinct), len(distinct))
    members: dict[int, list[int]] = {}
    for row in distinct:
        members.setdefault(_root(parent, row), []).append(row)
    return (tuple(group) for group in members.values() if len(group) > 1)


def _sequences(text: str) -> set[str]:
    """Return the sequences of 5 characters of a text, without regard to case and white space; a short text as a whole."""
    text = folded_text(text)
    return {text[i : i + _WIDTH] for i in range(max(len(text) - _WIDTH + 1, 1))} if text else set()


def _are_similar(texts: list[str], others: list[str]) -> bool:
    """Return whether each text of a row is similar to the text of the same column of another row."""
    return len(texts) == len(others) and all(map(_is_similar, texts, others))


def _is_similar(text: str, other: str) -> bool:
    sequences, others = _sequences(text), _sequences(other)
    return len(sequences & others) >= SIMILARITY * len(sequences | others)


def _root(parent: dict[int, int], row: int) -> int:
    """Return the representative of the group of a row, and shorten the path to it."""
    while parent[row] != row:
        parent[row] = parent[parent[row]]
        row = parent[row]
    return row

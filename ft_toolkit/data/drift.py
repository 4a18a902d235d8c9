"""Compare two versions of a data set: rows that were added, removed and relabelled, and tests for other differences.

The tests compare the added rows with the rows of the first version, and the removed rows with the rows that were kept. Each is
a permutation test: the rows of both groups are mixed, and the statistic is computed again. Rows must be independent.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ft_toolkit.core.diff_records import DiffResults, DriftTest
from ft_toolkit.core.words import find_words
from ft_toolkit.data.faults.fault import AuditedRows
from ft_toolkit.tasks.display.wrong_examples import shorten

# Simulated with SST-2, 300 rows and 100 random new ones, 100 times: p <= 0.05 in 3% (lengths), 4% (words) and 5% (labels), and
# for any test after adjustment in 3%. New rows of which 70% instead of 52% are positive are found in 90%.
PERMUTATIONS = 999
# Groups with fewer rows are not tested; of larger groups, this many random rows are.
_FEWEST_ROWS, _MOST_ROWS = 20, 2000
# Permutations that are computed together: 20,000 words need 16 MB.
_TOGETHER = 100
_EXAMPLES, _SHOWN_CHARACTERS = 5, 80


@dataclass
class _Matches:
    """The numbers of the rows of both versions, by kind of change."""

    kept: list[int] = field(default_factory=list)
    removed: list[int] = field(default_factory=list)
    added: list[int] = field(default_factory=list)
    relabelled: list[tuple[int, int]] = field(default_factory=list)
    moved: int = 0


def compare_versions(
    first: AuditedRows, second: AuditedRows, names: tuple[str, str], task: str, seed: int
) -> DiffResults:
    """Return the changes between two versions of a data set, and the tests."""
    matches = _match(first, second)
    labels = [Counter(label for _, label in rows.each_label()) for rows in (first, second)]
    groups = [
        ("added rows and rows of the first version", second, matches.added, first, list(first)),
        ("removed rows and rows that were kept", first, matches.removed, first, matches.kept),
    ]
    rng = np.random.default_rng(seed)
    tests = [
        test
        for title, rows, numbers, others, other_numbers in groups
        for test in _drift(title, _Group(rows, numbers, rng), _Group(others, other_numbers, rng), rng)
    ]
    return DiffResults(
        first=names[0],
        second=names[1],
        task=task,
        rows=[len(first), len(second)],
        same=len(matches.kept) - len(matches.relabelled),
        relabelled=len(matches.relabelled),
        added=len(matches.added),
        removed=len(matches.removed),
        moved=matches.moved,
        labels={name: [counts[name] for counts in labels] for name in dict.fromkeys([*labels[0], *labels[1]])},
        examples={
            "relabelled": [
                f"{_shown(first, old)}: {first.answer(old)} -> {second.answer(new)}"
                for old, new in matches.relabelled[:_EXAMPLES]
            ],
            "added": [_shown(second, row) for row in matches.added[:_EXAMPLES]],
            "removed": [_shown(first, row) for row in matches.removed[:_EXAMPLES]],
        },
        tests=_adjusted(tests),
    )


def _match(first: AuditedRows, second: AuditedRows) -> _Matches:
    """Pair the rows of both versions with equal inputs, those with equal answers first."""
    by_key: dict[int, list[int]] = defaultdict(list)
    for row, key in enumerate(second.keys.tolist()):
        by_key[key].append(row)
    matches, used = _Matches(), set[int]()
    for row, key in enumerate(first.keys.tolist()):
        others = by_key[key]
        if not others:
            matches.removed.append(row)
            continue
        answer = first.answer(row)
        other = next((other for other in others if second.answer(other) == answer), None)
        if other is None:
            other = others[0]
            matches.relabelled.append((row, other))
        others.remove(other)
        used.add(other)
        matches.kept.append(row)
        matches.moved += first.splits[row] != second.splits[other]
    matches.added = [row for row in second if row not in used]
    return matches


class _Group:
    """At most `_MOST_ROWS` random rows of a group: their texts and labels."""

    def __init__(self, rows: AuditedRows, numbers: Sequence[int], rng: np.random.Generator) -> None:
        chosen = sorted(rng.permutation(len(numbers))[:_MOST_ROWS].tolist())
        self.texts = [rows.text(numbers[i]) for i in chosen]
        self.labels = [" ".join(rows.labels(numbers[i])) for i in chosen]

    def __len__(self) -> int:
        return len(self.texts)


# Distances of two groups for several assignments of rows to the first group, a bool array (rows, assignments).
Distances = Callable[[np.ndarray], np.ndarray]


def _drift(title: str, group: _Group, other: _Group, rng: np.random.Generator) -> list[DriftTest]:
    """Return the tests of two groups; none for small groups."""
    if min(len(group), len(other)) < _FEWEST_ROWS:
        return []
    texts, labels = group.texts + other.texts, group.labels + other.labels
    statistics: list[tuple[str, str, Distances]] = [
        ("lengths", "largest difference of the distributions of words per text", _length_distances(texts)),
        ("words", "Jensen-Shannon divergence of the frequencies of words", _word_distances(texts)),
    ]
    if any(labels):
        statistics.append(("labels", "total variation distance of the shares of labels", _label_distances(labels)))
    is_first = np.arange(len(texts)) < len(group)
    tests = []
    for name, statistic, distances in statistics:
        observed = float(distances(is_first[:, None])[0])
        n_larger = 0
        for start in range(0, PERMUTATIONS, _TOGETHER):
            n = min(_TOGETHER, PERMUTATIONS - start)
            mixed = np.stack([rng.permutation(is_first) for _ in range(n)], axis=1)
            n_larger += int((distances(mixed) >= observed - 1e-12).sum())
        p = (1 + n_larger) / (1 + PERMUTATIONS)
        tests.append(
            DriftTest(
                groups=title,
                name=name,
                statistic=statistic,
                value=observed,
                p=p,
                adjusted_p=p,
                n=[len(group), len(other)],
            )
        )
    return tests


def _length_distances(texts: Sequence[str]) -> Distances:
    """Return the Kolmogorov-Smirnov distance of the numbers of words."""
    lengths = np.array([len(text.split()) for text in texts])
    order = np.argsort(lengths, kind="stable")
    last_of_value = np.append(np.diff(lengths[order]) > 0, True)

    def distances(is_first: np.ndarray) -> np.ndarray:
        sorted_first = is_first[order]
        shares = np.cumsum(sorted_first, 0) / sorted_first.sum(0) - np.cumsum(~sorted_first, 0) / (~sorted_first).sum(0)
        largest: np.ndarray = np.abs(shares[last_of_value]).max(0)
        return largest

    return distances


def _label_distances(labels: Sequence[str]) -> Distances:
    codes = np.unique(labels, return_inverse=True)[1]
    one_hot = np.eye(int(codes.max()) + 1)[codes]

    def distances(is_first: np.ndarray) -> np.ndarray:
        first, other = one_hot.T @ is_first, one_hot.T @ ~is_first
        distance: np.ndarray = 0.5 * np.abs(first / first.sum(0) - other / other.sum(0)).sum(0)
        return distance

    return distances


def _word_distances(texts: Sequence[str]) -> Distances:
    """Return the Jensen-Shannon divergence of the word frequencies, in bits."""
    from sklearn.feature_extraction.text import CountVectorizer

    def words_of(text: str) -> list[str]:
        return [text[start:end].casefold() for start, end in find_words(text)] or [""]

    counts = CountVectorizer(analyzer=words_of, max_features=20_000).fit_transform(texts).astype(np.float64)

    def distances(is_first: np.ndarray) -> np.ndarray:
        first, other = counts.T @ is_first, counts.T @ ~is_first
        p, q = first / np.maximum(first.sum(0), 1), other / np.maximum(other.sum(0), 1)
        middle = (p + q) / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = [np.where(part > 0, part * np.log2(part / middle), 0).sum(0) for part in (p, q)]
        divergence: np.ndarray = (terms[0] + terms[1]) / 2
        return divergence

    return distances


def _adjusted(tests: Sequence[DriftTest]) -> list[DriftTest]:
    """Return the tests with p-values adjusted by Holm's method (1979)."""
    order = sorted(range(len(tests)), key=lambda i: tests[i].p)
    adjusted, largest = dict[int, float](), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min((len(tests) - rank) * tests[i].p, 1.0))
        adjusted[i] = largest
    return [test.model_copy(update={"adjusted_p": adjusted[i]}) for i, test in enumerate(tests)]


def _shown(rows: AuditedRows, row: int) -> str:
    return f"{rows.splits[row]} row {rows.row_id(row)}: {shorten(rows.text(row).strip(), _SHOWN_CHARACTERS)!r}"

"""Scores of generated code: exact match, edit similarity, syntax, and pass@k."""

import ast
import textwrap
import warnings

import numpy as np

# Longer code is not parsed.
_MAX_CHARACTERS = 200_000


def plain_lines(code: str) -> str:
    """Return code without white space at the ends of its lines and without blank lines at its start and end."""
    return "\n".join(line.rstrip() for line in code.expandtabs(8).split("\n")).strip("\n")


def edit_similarity(first: str, second: str) -> float:
    """Return 1 - (edit distance / length of the longer text), from 0 to 1; 1 for two empty texts.

    The distance counts insertions, deletions and substitutions of characters (Levenshtein 1966).
    """
    longest = max(len(first), len(second))
    return 1.0 if not longest else 1 - edit_distance(first, second) / longest


def edit_distance(first: str, second: str) -> int:
    """Return the edit distance of two texts by Myers' bit vectors (1999, in Hyyrö's form of 2003), one step per character.

    A bit vector is an integer with a bit per character of the first text.
    """
    if not first or not second:
        return max(len(first), len(second))
    mask, last = (1 << len(first)) - 1, 1 << (len(first) - 1)
    positions: dict[str, int] = {}
    for i, letter in enumerate(first):
        positions[letter] = positions.get(letter, 0) | 1 << i
    up, down, distance = mask, 0, len(first)  # vertical differences of +1 and of -1
    for letter in second:
        equal = positions.get(letter, 0)
        diagonal = (((equal & up) + up) ^ up) | equal | down
        right, left = down | ~(diagonal | up) & mask, up & diagonal  # horizontal differences of +1 and of -1
        distance += bool(right & last) - bool(left & last)
        right = right << 1 | 1
        up, down = (left << 1 | ~(diagonal | right)) & mask, right & diagonal & mask
    return distance


def parses(code: str) -> bool:
    """Return whether a text is valid Python of this interpreter's version, even if all of it is indented. Nothing is run."""
    if len(code) > _MAX_CHARACTERS:
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as an invalid escape sequence
            ast.parse(textwrap.dedent(code))
    # ValueError: a null byte; RecursionError and MemoryError: nested too deeply
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def pass_at_k(n_samples: np.ndarray, n_passed: np.ndarray, k: int) -> float:
    """Return the mean over the problems of the estimated probability that at least one of k samples passes.

    The estimate of a problem is 1 - C(n - c, k) / C(n, k) for c passed samples of n, which is unbiased (Chen et al. 2021,
    arXiv:2107.03374, section 2.1). Problems with fewer than k samples are left out; NaN if none is left.
    """
    estimates = [
        1 - float(np.prod(1 - k / np.arange(n - c + 1, n + 1))) if n - c >= k else 1.0
        for n, c in zip(n_samples.tolist(), n_passed.tolist(), strict=True)
        if n >= k
    ]
    return float(np.mean(estimates)) if estimates else float("nan")


def sample_counts(n_samples: int) -> list[int]:
    """Return the values of k for pass@k with this number of samples: 1, 5, 10 and 100 as far as possible, and all."""
    return sorted({k for k in (1, 5, 10, 100, n_samples) if k <= n_samples})


def before_dedent(code: str) -> str:
    """Return the body at the beginning of a text: the lines before the first one that is indented less than the first line.

    Blank lines do not count. A body without indentation is the whole text.
    """
    lines = code.split("\n")
    depth: int | None = None
    for number, line in enumerate(lines):
        if not line.strip():
            continue
        expanded = line.expandtabs(8)
        indent = len(expanded) - len(expanded.lstrip())
        depth = indent if depth is None else depth
        if indent < depth:
            return "".join(f"{line}\n" for line in lines[:number])
    return code

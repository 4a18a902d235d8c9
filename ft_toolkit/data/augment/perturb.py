"""Small changes of a text that leave the reference answer as it is: typos, case, other first names, the other gender.

All functions are pure functions of (text, seed, row id). A change is a list of edits, which map positions in the old text to
positions in the new one.
"""

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ft_toolkit.data.augment.word_lists import FEMALE_NAMES, GENDERED, MALE_NAMES, NOT_A_NOUN
from ft_toolkit.tasks.base import ChangeKind, MoveAnswers, Robustness, Row
from ft_toolkit.tasks.text.edits import Edit, EditsByColumn, apply_edits

_WORD = re.compile(r"[^\W\d_]+")
# About one typo per 20 letters, in words of more than 3 letters.
LETTERS_PER_TYPO, SHORT_WORD = 20, 3


@dataclass(frozen=True)
class ChangedRow:
    """A row after a change, and the edits of each changed column."""

    row: Row
    edits: EditsByColumn


def typos(texts: Sequence[str], rng: random.Random, share: float | None = None) -> list[list[Edit]]:
    """Swap two letters, drop a letter or double a letter. The first letter of a word stays.

    `share` is the share of the words of more than 3 letters; by default it grows with the length of a word.
    """

    def is_hit(word: re.Match[str]) -> bool:
        return rng.random() < (len(word.group()) / LETTERS_PER_TYPO if share is None else share)

    return [
        [_typo(word, rng) for word in _WORD.finditer(text) if len(word.group()) > SHORT_WORD and is_hit(word)]
        for text in texts
    ]


def _typo(word: re.Match[str], rng: random.Random) -> Edit:
    letters, start = word.group(), word.start()
    swaps = [i for i in range(1, len(letters) - 1) if letters[i] != letters[i + 1]]
    i = rng.randrange(1, len(letters))
    kind = rng.choice(("swap", "drop", "double") if swaps else ("drop", "double"))
    if kind == "swap":
        i = rng.choice(swaps)
        return start + i, start + i + 2, letters[i + 1] + letters[i]
    return start + i, start + i + 1, "" if kind == "drop" else letters[i] * 2


def lowercase(texts: Sequence[str], rng: random.Random) -> list[list[Edit]]:
    """Lowercase every letter whose lowercase form is a single character."""
    return [_letters(text, str.lower) for text in texts]


def uppercase(texts: Sequence[str], rng: random.Random) -> list[list[Edit]]:
    """Uppercase every letter whose uppercase form is a single character."""
    return [_letters(text, str.upper) for text in texts]


def _letters(text: str, change: Callable[[str], str]) -> list[Edit]:
    changed = ((i, change(letter)) for i, letter in enumerate(text) if change(letter) != letter)
    return [(i, i + 1, letter) for i, letter in changed if len(letter) == 1]


def names(texts: Sequence[str], rng: random.Random) -> list[list[Edit]]:
    """Replace each first name of the lists by another name of the same gender, consistently within these texts.

    A word is a name only with a capital letter, unless the texts have no capital letters. Names that are also words (Mark,
    Grace) are not on the lists.
    """
    no_capitals = not any(letter.isupper() for text in texts for letter in text)
    replacements: dict[str, str] = {}
    all_edits: list[list[Edit]] = []
    for text in texts:
        edits = []
        for word in _WORD.finditer(text):
            old, name = word.group(), word.group().lower()
            group = next((names for names in (FEMALE_NAMES, MALE_NAMES) if name in names), None)
            if group is None or not (old[0].isupper() or no_capitals):
                continue
            if name not in replacements:
                free = [other for other in group if other != name and other not in replacements.values()]
                replacements[name] = rng.choice(free or [other for other in group if other != name])
            edits.append((word.start(), word.end(), with_case_of(old, replacements[name])))
        all_edits.append(edits)
    return all_edits


def gender(texts: Sequence[str], rng: random.Random) -> list[list[Edit]]:
    """Swap English words of the two genders in both directions: he and she, mother and father, man and woman ...

    `her` becomes `his` before a word that can begin a noun phrase, otherwise `him`; `his` becomes `her` or `hers` likewise.
    Only the next word decides, so "gave her books" is always read as her books. First names stay.
    """
    all_edits: list[list[Edit]] = []
    for text in texts:
        edits = []
        for word in _WORD.finditer(text):
            old = word.group()
            following = re.match(r"\s+([^\W\d_]+)", text[word.end() :])
            is_possessive = following is not None and following.group(1).lower() not in NOT_A_NOUN
            forms = {"her": "his" if is_possessive else "him", "his": "her" if is_possessive else "hers"}
            new = forms.get(old.lower()) or GENDERED.get(old.lower())
            if new is not None:
                edits.append((word.start(), word.end(), with_case_of(old, new)))
        all_edits.append(edits)
    return all_edits


def with_case_of(old: str, new: str) -> str:
    """Return the new word in upper case, or with a capital first letter, if the old word has this form."""
    if old.isupper() and len(old) > 1:
        return new.upper()
    return new[0].upper() + new[1:] if old[0].isupper() else new


CHANGES: dict[ChangeKind, Callable[[Sequence[str], random.Random], list[list[Edit]]]] = {
    "typos": typos,
    "lowercase": lowercase,
    "uppercase": uppercase,
    "names": names,
    "gender": gender,
}


def perturb(kind: ChangeKind, row: Row, robustness: Robustness, seed: int) -> ChangedRow | None:
    """Return a row, in the form of the task's `read_rows`, after a change of its texts.

    Returns None when no text changes or the edits destroy an answer. The row's id and the seed decide the change.
    """
    rng = random.Random(f"{seed} {kind} {row['id']}")
    columns = [name for name in robustness.columns if isinstance(row.get(name), str)]
    edits = dict(zip(columns, CHANGES[kind]([row[name] for name in columns], rng), strict=True))
    return edit_row(row, edits, robustness.move_answers)


def edit_row(row: Row, edits: EditsByColumn, move_answers: MoveAnswers) -> ChangedRow | None:
    """Return a row after edits of its texts; None when no text changes or the edits destroy an answer."""
    texts = {name: apply_edits(row[name], edits[name]) for name in edits}
    if all(texts[name] == row[name] for name in edits):
        return None
    answers = move_answers(row, texts, edits)
    return None if answers is None else ChangedRow({**row, **texts, **answers}, edits)

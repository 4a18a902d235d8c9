"""Small changes of a text that leave its true answer as it is: typos, case, other first names, the other gender.

Everything here is a pure function of (text, seed, row id): no model, no torch. A change is a list of edits, so that places
in the old text can be found again in the new one.
"""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ft_toolkit.evaluation.breakdown.word_lists import FEMALE_NAMES, GENDERED, MALE_NAMES, NOT_A_NOUN
from ft_toolkit.tasks.base import Row
from ft_toolkit.tasks.text.entities import words_of

# Start and end in the old text, and what takes the place of the characters between.
Edit = tuple[int, int, str]
_WORD = re.compile(r"[^\W\d_]+")
# About one typo per this many letters, in words longer than 3.
LETTERS_PER_TYPO, SHORT_WORD = 20, 3


@dataclass(frozen=True)
class Changed:
    """A row after a change, and the edits of each column that was changed."""

    row: Row
    edits: Mapping[str, Sequence[Edit]]


def typos(texts: Sequence[str], rng: random.Random) -> list[list[Edit]]:
    """Swap two letters, drop one or double one, never the first of a word."""
    return [
        [_typo(word, rng) for word in _WORD.finditer(text) if len(word.group()) > SHORT_WORD and _hit(word, rng)]
        for text in texts
    ]


def _hit(word: re.Match[str], rng: random.Random) -> bool:
    return rng.random() < len(word.group()) / LETTERS_PER_TYPO


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
    """Write small letters, where a letter has one that is a single character too."""
    return [_letters(text, str.lower) for text in texts]


def uppercase(texts: Sequence[str], rng: random.Random) -> list[list[Edit]]:
    """Write capitals, where a letter has one that is a single character too."""
    return [_letters(text, str.upper) for text in texts]


def _letters(text: str, change: Callable[[str], str]) -> list[Edit]:
    found = ((i, change(letter)) for i, letter in enumerate(text) if change(letter) != letter)
    return [(i, i + 1, new) for i, new in found if len(new) == 1]


def names(texts: Sequence[str], rng: random.Random) -> list[list[Edit]]:
    """Replace each first name of the lists by another of the same gender, the same one wherever it stands in these texts.

    A name has a capital, or the texts have none at all. Names that are also words (Mark, Grace) are not on the lists.
    """
    no_capitals = not any(letter.isupper() for text in texts for letter in text)
    taken: dict[str, str] = {}
    all_edits: list[list[Edit]] = []
    for text in texts:
        edits = []
        for word in _WORD.finditer(text):
            found, name = word.group(), word.group().lower()
            group = next((names for names in (FEMALE_NAMES, MALE_NAMES) if name in names), None)
            if group is None or not (found[0].isupper() or no_capitals):
                continue
            if name not in taken:
                free = [other for other in group if other != name and other not in taken.values()]
                taken[name] = rng.choice(free or [other for other in group if other != name])
            edits.append((word.start(), word.end(), _in_case_of(found, taken[name])))
        all_edits.append(edits)
    return all_edits


def gender(texts: Sequence[str], rng: random.Random) -> list[list[Edit]]:
    """Swap English words of the two genders in both directions: he and she, mother and father, man and woman ...

    `her` becomes `his` before a word that can begin what she owns, else `him`; `his` becomes `her` there, else `hers`. Only
    the next word is looked at: "gave her books" is read as her books, whatever was meant. First names stay as they are.
    """
    all_edits: list[list[Edit]] = []
    for text in texts:
        edits = []
        for word in _WORD.finditer(text):
            found = word.group()
            following = re.match(r"\s+([^\W\d_]+)", text[word.end() :])
            owns = following is not None and following.group(1).lower() not in NOT_A_NOUN
            forms = {"her": "his" if owns else "him", "his": "her" if owns else "hers"}
            new = forms.get(found.lower()) or GENDERED.get(found.lower())
            if new is not None:
                edits.append((word.start(), word.end(), _in_case_of(found, new)))
        all_edits.append(edits)
    return all_edits


def _in_case_of(old: str, new: str) -> str:
    if old.isupper() and len(old) > 1:
        return new.upper()
    return new[0].upper() + new[1:] if old[0].isupper() else new


KINDS: dict[str, Callable[[Sequence[str], random.Random], list[list[Edit]]]] = {
    "typos": typos,
    "lowercase": lowercase,
    "uppercase": uppercase,
    "names": names,
    "gender": gender,
}
# task -> the columns that are changed and the kinds that keep the answer. Another name in a question alone would ask for
# somebody whom the context does not know.
OFFERED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "text_classification": (("text", "text_pair"), tuple(KINDS)),
    "ner": (("text",), tuple(KINDS)),
    "question_answering": (("question",), ("typos", "lowercase", "uppercase")),
}


def perturb(kind: str, row: Row, task: str, seed: int) -> Changed | None:
    """Return a row, in the form of the task's `read_rows`, after a change of one of KINDS; None where nothing changes.

    Entities keep their type and move with their text. A row in which an edit reaches over the border of an entity or of a
    given word is left out (None).
    """
    columns = [name for name in OFFERED[task][0] if isinstance(row.get(name), str)]
    rng = random.Random(f"{seed} {kind} {row['id']}")
    edits = dict(zip(columns, KINDS[kind]([row[name] for name in columns], rng), strict=True))
    new = {name: apply_edits(row[name], edits[name]) for name in columns}
    if all(new[name] == row[name] for name in columns):
        return None
    changed: dict[str, Any] = {**row, **new}
    if task == "ner":
        if row.get("tokens") is not None:
            places = [moved(border, edits["text"]) for word in words_of(row) for border in word]
            if None in places:
                return None
            changed["tokens"] = [new["text"][a:b] for a, b in zip(places[::2], places[1::2], strict=True)]
        entities = [
            {**one, "start": moved(one["start"], edits["text"]), "end": moved(one["end"], edits["text"])}
            for one in row["entities"]
        ]
        if any(one["start"] is None or one["end"] is None for one in entities):
            return None
        changed["entities"] = entities
    return Changed(changed, edits)


def apply_edits(text: str, edits: Sequence[Edit]) -> str:
    """Return the text with the edits made; they stand in order and apart."""
    parts, at = [], 0
    for start, end, new in edits:
        parts += [text[at:start], new]
        at = end
    return "".join([*parts, text[at:]])


def moved(place: int, edits: Sequence[Edit]) -> int | None:
    """Return where a place between two characters is after the edits; None where it lies inside of one."""
    shift = 0
    for start, end, new in edits:
        if start < place < end:
            return None
        if end <= place:
            shift += len(new) - (end - start)
    return place + shift

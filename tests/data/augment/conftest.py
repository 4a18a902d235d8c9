"""A WordNet of a few senses in the format of the original files, so that nltk reads it without a download."""

from collections.abc import Callable
from pathlib import Path

import pytest

PARTS = {"noun": "n", "verb": "v", "adj": "a", "adv": "r"}
SENSES = {
    "noun": [
        ["film", "movie", "motion_picture"],
        ["badness", "bad"],
        ["calcium", "Ca"],
        ["inch", "in"],
        ["proverb", "saw"],
    ],
    "verb": [["see", "spot"]],
    "adj": [["good", "fine"], ["bad", "poor"]],
    "adv": [],
}
# How often a word has a sense in the texts that were counted, and inflected forms with their base forms.
COUNTS = {"bad%3:00:00::": 51, "saw%1:00:00::": 1, "see%2:00:00::": 60}
IRREGULAR = {"verb": "saw see\n"}
HEADER = "  1 This small WordNet was made for a test.  \n"


def write_small_wordnet(folder: Path) -> Path:
    """Write `folder`/corpora/wordnet with the senses of SENSES; return `folder`."""
    corpus = folder / "corpora" / "wordnet"
    corpus.mkdir(parents=True)
    lexnames = ["adj.all", "adj.pert", "adv.all", "noun.Tops"]
    (corpus / "lexnames").write_text("".join(f"{i:02d}\t{name}\t3\n" for i, name in enumerate(lexnames)))
    for name in ("citation.bib", "LICENSE", "README"):
        (corpus / name).write_text("")
    for part in PARTS:
        (corpus / f"{part}.exc").write_text(IRREGULAR.get(part, ""))
    (corpus / "cntlist.rev").write_text("".join(f"{key} 1 {count}\n" for key, count in sorted(COUNTS.items())))
    senses = []
    for number, (part, letter) in enumerate(PARTS.items(), 1):
        data, index = HEADER, HEADER
        for words in SENSES[part]:
            offset = len(data)
            lemmas = " ".join(f"{word} 0" for word in words)
            data += f"{offset:08d} 00 {letter} {len(words):02x} {lemmas} 000{' 00' * (part == 'verb')} | a sense  \n"
            index += "".join(f"{word.lower()} {letter} 1 0 1 0 {offset:08d}  \n" for word in sorted(words))
            senses += [f"{word.lower()}%{number}:00:00:: {offset:08d} 1 0\n" for word in words]
        (corpus / f"data.{part}").write_text(data)
        (corpus / f"index.{part}").write_text(index)
    (corpus / "index.sense").write_text("".join(senses))
    return folder


@pytest.fixture
def small_wordnet(tmp_path: Path) -> Callable[[], Path]:
    """Return a function that writes the small WordNet to a folder for nltk's data."""
    return lambda: write_small_wordnet(tmp_path)

"""A WordNet of two senses in the format of the original files, so that nltk reads it without a download."""

from collections.abc import Callable
from pathlib import Path

import pytest

PARTS = {"noun": "n", "verb": "v", "adj": "a", "adv": "r"}
SENSES = {"noun": [["film", "movie", "motion_picture"]], "adj": [["good", "fine"]], "verb": [], "adv": []}
HEADER = "  1 This small WordNet was made for a test.  \n"


def write_small_wordnet(folder: Path) -> Path:
    """Write `folder`/corpora/wordnet with the synonyms film, movie and good, fine; return `folder`."""
    corpus = folder / "corpora" / "wordnet"
    corpus.mkdir(parents=True)
    lexnames = ["adj.all", "adj.pert", "adv.all", "noun.Tops"]
    (corpus / "lexnames").write_text("".join(f"{i:02d}\t{name}\t3\n" for i, name in enumerate(lexnames)))
    for name in ("cntlist.rev", "citation.bib", "LICENSE", "README", *(f"{part}.exc" for part in PARTS)):
        (corpus / name).write_text("")
    senses = []
    for number, (part, letter) in enumerate(PARTS.items(), 1):
        data, index = HEADER, HEADER
        for words in SENSES[part]:
            offset = len(data)
            lemmas = " ".join(f"{word} 0" for word in words)
            data += f"{offset:08d} 00 {letter} {len(words):02x} {lemmas} 000 | a sense  \n"
            index += "".join(f"{word} {letter} 1 0 1 0 {offset:08d}  \n" for word in sorted(words))
            senses += [f"{word}%{number}:00:00:: {offset:08d} 1 0\n" for word in words]
        (corpus / f"data.{part}").write_text(data)
        (corpus / f"index.{part}").write_text(index)
    (corpus / "index.sense").write_text("".join(senses))
    return folder


@pytest.fixture
def small_wordnet(tmp_path: Path) -> Callable[[], Path]:
    """Return a function that writes the small WordNet to a folder for nltk's data."""
    return lambda: write_small_wordnet(tmp_path)

"""The sources of synonyms: WordNet through nltk, and a file; what is refused, and what to install."""

from pathlib import Path
from typing import Any

import nltk
import pytest

from ft_toolkit.core.errors import FtkError, UsageError
from ft_toolkit.data.augment.synonyms import load_word_list


def test_wordnet_is_asked_for_and_read(small_wordnet: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    with pytest.raises(UsageError, match=r"nltk\.downloader wordnet.*augmentation\.word_list"):
        load_word_list(None)
    small_wordnet()
    words = load_word_list(None)
    assert [list(words.synonyms(word)) for word in ("film", "movie", "good")] == [["movie"], ["film"], ["fine"]]
    # "motion picture" has two words, the synonyms of "films" have no plural, and "ugly" is not in the list
    assert [list(words.synonyms(word)) for word in ("films", "ugly")] == [[], []]
    assert nltk.__version__ in words.version
    # the most frequent sense of all parts of speech
    assert list(words.synonyms("bad")) == ["poor"]  # not the noun, which nltk lists first
    assert list(words.synonyms("badness")) == ["bad"]
    assert list(words.synonyms("saw")) == []  # mostly a form of "see", whose synonyms have no past tense
    # neither the "ca" of "ca n't" nor the preposition is in WordNet, but the symbol of calcium and the short form of inch are
    assert [list(words.synonyms(word)) for word in ("ca", "in")] == [[], []]


def test_a_file_has_a_group_per_line(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("# films\nfilm, movie , Picture\n\nfilm,flick\n", encoding="utf-8")
    words = load_word_list(str(path))
    assert list(words.synonyms("film")) == ["movie", "Picture", "flick"]
    assert list(words.synonyms("picture")) == ["film", "movie"]
    assert list(words.synonyms("flick")) == ["film"]
    other = tmp_path / "other.txt"
    other.write_text("film, movie\n", encoding="utf-8")
    assert load_word_list(str(other)).version != words.version


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist"),
        (b"film\n", r"words\.txt:1: found 'film'; a line is a group of at least two words"),
        (b"# nothing\n", "has no group of synonyms"),
        (b"caf\xe9, bar\n", "not valid UTF-8"),
    ],
)
def test_an_invalid_file_is_refused(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FtkError, match=message):
        load_word_list(str(path))

"""Synonyms: groups of words in a text file, or WordNet (Miller 1995, doi:10.1145/219717.219748) through nltk."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ft_toolkit.core.errors import DataError, UsageError
from ft_toolkit.core.files import file_sha256
from ft_toolkit.core.text_lines import split_lines
from ft_toolkit.data.augment.word_changes import Synonyms

# Pronouns, articles, prepositions, conjunctions, auxiliary verbs, their short forms, and numbers. WordNet does not have most of
# them, but it has other words of the same letters: "in" as an inch, "can" as a tin, "s" as a second, and "off" as a murder.
_FUNCTION_WORDS = frozenset(
    word
    for line in (
        "a an the this that these those i me my mine you your yours he him his she her hers it its we us our ours they them",
        "their theirs myself yourself himself herself itself ourselves yourselves themselves who whom whose which what each",
        "every either neither any some all both few many much more most less least several such same other another own none",
        "nothing anything something everything nobody anybody somebody everybody one ones two three four five six seven eight",
        "nine ten about above across after against along among around as at before behind below beneath beside besides between",
        "beyond by despite down during except for from in inside into like near of off on onto out outside over past per since",
        "than through throughout till to toward towards under until up upon via with within without and but or nor so yet if",
        "unless although though because while when where why how whether not no never there here then now",
        "am is are was were be been being have has had having do does did doing done can could may might must shall should",
        "will would s t d m ll re ve",
    )
    for word in line.split()
)


@dataclass(frozen=True)
class WordList:
    """The synonyms of words, and a text that identifies the list."""

    synonyms: Synonyms
    version: str


def load_word_list(path: str | None) -> WordList:
    """Return the synonyms of a file or, for None, of WordNet. Raises UsageError, and DataError for an invalid file."""
    return _wordnet() if path is None else _read_file(Path(path))


def _read_file(path: Path) -> WordList:
    """Read a file with a group of synonyms per line, separated by commas; lines that are empty or begin with # are skipped."""
    if not path.is_file():
        raise DataError(
            f"augmentation.word_list: {path} does not exist; write a file with a group of synonyms per line"
        )
    try:
        lines = split_lines(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise DataError(
            f"augmentation.word_list: {path} is not valid UTF-8 ({error.reason}); save it as UTF-8"
        ) from None
    groups: dict[str, list[str]] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        words = list(dict.fromkeys(word.strip() for word in line.split(",") if word.strip()))
        if len(words) < 2:
            raise DataError(
                f"{path}:{number}: found {line.strip()!r}; a line is a group of at least two words, separated by commas, "
                "such as film, movie"
            )
        for word in words:
            others = groups.setdefault(word.lower(), [])
            others += [other for other in words if other.lower() != word.lower() and other not in others]
    if not groups:
        raise DataError(f"{path} has no group of synonyms; write a group per line, such as film, movie")
    return WordList(lambda word: groups.get(word, ()), file_sha256(path))


def _wordnet() -> WordList:
    """Return the synonyms of WordNet. Raises UsageError if nltk or its data is not installed."""
    remedy = (
        "or set augmentation.word_list to a file with a group of synonyms per line, or remove augmentation.synonyms"
    )
    try:
        import nltk
        from nltk.corpus import wordnet
    except ImportError:
        raise UsageError(
            "augmentation.synonyms requires WordNet and nltk, which is not installed; pip install nltk, then python -m "
            f"nltk.downloader wordnet, {remedy}"
        ) from None
    try:
        wordnet.ensure_loaded()
    except LookupError:
        raise UsageError(
            "augmentation.synonyms requires WordNet, which is not installed; python -m nltk.downloader wordnet (nltk "
            f"also searches the folders in the environment variable NLTK_DATA), {remedy}"
        ) from None
    return WordList(
        functools.cache(functools.partial(_of_wordnet, wordnet)), f"{wordnet.get_version()} {nltk.__version__}"
    )


def _of_wordnet(wordnet: Any, word: str) -> Sequence[str]:
    """Return the synonyms of a word in its most frequent sense; only single words, and none for an inflected form."""
    senses = () if word in _FUNCTION_WORDS else wordnet.synsets(word)
    if not senses:
        return ()
    # nltk lists nouns first: "bad" as in "badness" before the adjective, "saw" as a proverb before the verb
    sense = max(senses, key=lambda sense: _frequency(wordnet, word, sense))
    names = [name.replace("_", " ") for name in sense.lemma_names()]
    if word not in names:  # "films" is found as "film", and its synonyms have no plural; "ca" is found as "Ca", calcium
        return ()
    return tuple(dict.fromkeys(name for name in names if name.lower() != word and " " not in name))


def _frequency(wordnet: Any, word: str, sense: Any) -> int:
    """Return how often a word, or its base form, has a sense in the texts that WordNet counted; 0 for rare words."""
    forms = {word, wordnet.morphy(word, "a" if sense.pos() == "s" else sense.pos())}
    return sum(lemma.count() for lemma in sense.lemmas() if lemma.name().lower() in forms)

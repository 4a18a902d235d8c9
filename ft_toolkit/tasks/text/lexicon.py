"""The lexicon baseline of named entity recognition: look up the entities of the training rows."""

from collections import Counter, defaultdict
from collections.abc import Mapping

from ft_toolkit.core.words import find_words
from ft_toolkit.metrics.spans import Span
from ft_toolkit.tasks.base import Row, Rows
from ft_toolkit.tasks.text.entities import entity_spans, words_of
from ft_toolkit.tasks.text.words import words_inside

# The words of an entity, and its most frequent label.
Lexicon = Mapping[tuple[str, ...], str]


def learn_lexicon(rows: Rows) -> Lexicon:
    """Return the entities of labelled rows with their most frequent labels, ties in alphabetical order."""
    counts: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for row in rows:
        words = words_of(row)
        entities = entity_spans(row["entities"])
        numbers = words_inside(words, [entity[:2] for entity in entities])
        for (start, end, label), number in zip(entities, numbers, strict=True):
            inside = words[number.start : number.stop]
            if not inside or (inside[0][0], inside[-1][1]) != (start, end):  # a boundary is inside a word
                inside = [(start + a, start + b) for a, b in find_words(row["text"][start:end])]
            counts[tuple(row["text"][a:b] for a, b in inside)][label] += 1
    return {
        words: min(by_label, key=lambda label: (-by_label[label], label)) for words, by_label in counts.items() if words
    }


def look_up(row: Row, lexicon: Lexicon) -> list[Span]:
    """Return (start, end, label) of every entity of the lexicon in the text; longer entities win."""
    longest = max(map(len, lexicon), default=0)
    words = words_of(row)
    texts = [row["text"][start:end] for start, end in words]
    entities: list[Span] = []
    position = 0
    while position < len(words):
        sizes = range(min(longest, len(words) - position), 0, -1)
        size = next((size for size in sizes if tuple(texts[position : position + size]) in lexicon), 0)
        if size:
            label = lexicon[tuple(texts[position : position + size])]
            entities.append((words[position][0], words[position + size - 1][1], label))
        position += size or 1
    return entities

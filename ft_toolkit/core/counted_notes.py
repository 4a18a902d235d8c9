"""Notes that count rows, so that the notes on the parts of a file can be added up."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

# (counts by name, number of rows that were read) -> the text of the note. It may be empty: counts of a part of a file may
# matter only together with those of other parts, such as tags that are illegal in one of two schemes.
Write = Callable[[Mapping[str, int], int], str]


class CountedNote(str):
    """A note on some of the rows. `kind` names notes that can be added up, `counts` are its numbers."""

    kind: str
    counts: Counter[str]
    write: Write

    def __new__(cls, kind: str, counts: Mapping[str, int], write: Write, n_rows: int) -> "CountedNote":
        """Return the text that `write` gives for these counts."""
        note = super().__new__(cls, write(counts, n_rows))
        note.kind, note.counts, note.write = kind, Counter(counts), write
        return note


def shown(notes: Sequence[str]) -> list[str]:
    """Return the notes that have a text."""
    return [note for note in notes if note]


@dataclass
class NoteSum:
    """The notes on the parts of a file. `ignored` are the notes on rows that are read with every part."""

    ignored: Sequence[str] = ()
    _counts: dict[str, Counter[str]] = field(default_factory=dict)
    _writes: dict[str, Write] = field(default_factory=dict)
    _others: dict[str, None] = field(default_factory=dict)

    def add(self, notes: Sequence[str]) -> None:
        """Add the notes on a part."""
        ignored = {note.kind: note.counts for note in self.ignored if isinstance(note, CountedNote)}
        for note in notes:
            if not isinstance(note, CountedNote):
                self._others[note] = None
            elif counts := note.counts - ignored.get(note.kind, Counter()):
                self._writes.setdefault(note.kind, note.write)
                self._counts[note.kind] = self._counts.get(note.kind, Counter()) + counts

    def notes(self, n_rows: int) -> list[str]:
        """Return the notes on all parts, which have `n_rows` rows together."""
        counted = [CountedNote(kind, self._counts[kind], write, n_rows) for kind, write in self._writes.items()]
        return shown([*counted, *self._others])

"""The features of training rows that are read as a stream (`data.stream_rows`): one buffer of rows is an epoch."""

from collections.abc import Callable, Iterator, Sequence
from typing import overload

from ft_toolkit.data.batches import EVALUATION
from ft_toolkit.data.training_stream import TrainingStream
from ft_toolkit.tasks.base import Batch, Features, Rows
from ft_toolkit.training.collate import Collate


class StreamedFeatures:
    """The features of each epoch. The first epoch and the one that was asked for last are in memory.

    `lengths` and `example_ids` are those of the epoch that `start` named last.
    """

    def __init__(self, first: Features, stream: TrainingStream, encode: Callable[[Rows], Features]) -> None:
        """Keep the features of epoch 0. Other rows are read and encoded when they are asked for."""
        self._first, self._stream, self._encode = first, stream, encode
        self._epoch, self._current, self._started = 0, first, 0
        self.lengths: Sequence[int] = _Current(lambda: self.of(self._started).lengths)
        self.example_ids: Sequence[int] = _Current(lambda: self.of(self._started).example_ids)

    def start(self, epoch: int) -> None:
        """Read the features of an epoch that is trained next."""
        self._started = epoch
        self.of(epoch)

    def of(self, epoch: int) -> Features:
        """Return the features of an epoch. Raises DataError for rows that cannot be read."""
        if epoch == 0:
            return self._first
        if epoch != self._epoch:
            self._current = self._encode(self._stream.buffer(epoch))
            self._epoch = epoch
        return self._current

    def n_rows(self, epoch: int) -> int:
        """Return the number of rows of the source that were read up to the end of an epoch."""
        if epoch == 0:
            return self._stream.n_first
        self.of(epoch)
        return self._stream.n_read

    def collate(self, make: Callable[[Features], Collate]) -> Collate:
        """Return a function that collates the features of the epoch that it is given. `make` returns it for features."""
        made: dict[int, Collate] = {}

        def collate(feature_ids: Sequence[int], weight: float = 1.0, epoch: int = EVALUATION) -> Batch:
            assert epoch != EVALUATION, "training rows are collated for an epoch"
            if epoch not in made:
                made.clear()
                made[epoch] = make(self.of(epoch))
            return made[epoch](feature_ids, weight, epoch)

        return collate


class _Current(Sequence[int]):
    """A sequence that is another one for each epoch."""

    def __init__(self, read: Callable[[], Sequence[int]]) -> None:
        self._read = read

    def __len__(self) -> int:
        return len(self._read())

    @overload
    def __getitem__(self, index: int) -> int: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[int]: ...

    def __getitem__(self, index: int | slice) -> int | Sequence[int]:
        return self._read()[index]

    def __iter__(self) -> Iterator[int]:
        return iter(self._read())

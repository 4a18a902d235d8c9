"""Predict the rows of several requests together, in a thread of the model.

    request --submit--> queue --(wait, take)--> batch --thread--> answers

A batch has the rows of the waiting requests, up to ROWS_PER_BATCH; the model sorts them by length. A request with more rows
takes part in several batches, with rows of others in between. Each model has one thread: while another model wrote summaries, a
row of SST-2 took 80 ms (median; 42 ms alone), and 3,257 ms with one thread for all models.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from ft_toolkit.core.errors import FtkError
from ft_toolkit.serve.metrics import ROWS, Metrics
from ft_toolkit.serve.options import Limits
from ft_toolkit.serve.served_model import ServedModel
from ft_toolkit.tasks.base import OnText, Row

ROWS_PER_BATCH = 64
# Seconds that a batch waits for more rows, if the last batch had several requests. With 16 clients and MiniLM in 8 bits, a wait
# of 2 ms raised the mean batch from 9 to 15 rows and lowered the processor time of a request by 2% to 4%; 5 ms gave batches of
# 16 rows (benchmarks/results). A single client would lose 2 ms per request, so its requests are not delayed.
WAIT = 0.002
# Seconds per row before any is measured, and the maximum of Retry-After in seconds.
FIRST_ESTIMATE, LONGEST_RETRY = 0.05, 60


class QueueFullError(Exception):
    """The rows of a request do not fit into the queue; `retry_after` is in seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("the queue is full")
        self.retry_after = retry_after


@dataclass(frozen=True)
class Answer:
    """The predictions of some rows, notes on how they were read, and the version of the model."""

    predictions: list[dict[str, Any]]
    notes: list[str]
    version: str


@dataclass(eq=False)
class Job:
    """A request in the queue. `done` rows are predicted; `on_text` gets pieces of a generated text."""

    rows: Sequence[Row]
    served: ServedModel
    future: asyncio.Future[Answer]
    on_text: OnText | None = None
    predictions: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def n_remaining(self) -> int:
        return len(self.rows) - len(self.predictions)

    def add(self, answer: Answer) -> None:
        """Add the predictions of the next rows."""
        self.predictions += answer.predictions
        self.notes += [note for note in answer.notes if note not in self.notes]
        if not self.n_remaining and not self.future.done():
            self.future.set_result(Answer(self.predictions, self.notes, answer.version))

    def fail(self, error: BaseException) -> None:
        """End the request with an error."""
        if not self.future.done():
            self.future.set_exception(error)


@dataclass(frozen=True)
class _Part:
    """The next rows of a job; `first_row` is the number of the first one in the request, from 1."""

    job: Job
    rows: Sequence[Row]
    first_row: int


class Batcher:
    """The queue of a model, and the thread that predicts."""

    def __init__(self, name: str, served: ServedModel, limits: Limits, metrics: Metrics) -> None:
        """`run` must be started in the event loop."""
        self.name, self.served = name, served
        self._limits, self._metrics = limits, metrics
        self._queue: deque[Job] = deque()
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"model-{name}")
        self._seconds_per_row = FIRST_ESTIMATE
        self._busy_since: float | None = None

    @property
    def busy_seconds(self) -> float:
        """Seconds since the running batch was started; 0 without one."""
        return 0.0 if self._busy_since is None else time.monotonic() - self._busy_since

    @property
    def waiting_rows(self) -> int:
        """Rows in the queue of requests that are still open."""
        return sum(job.n_remaining for job in self._queue if not job.future.done())

    def submit(self, rows: Sequence[Row], on_text: OnText | None = None) -> asyncio.Future[Answer]:
        """Put rows into the queue. Cancel the returned future to give up. Raises QueueFullError."""
        waiting = self.waiting_rows
        if waiting and waiting + len(rows) > self._limits.queue:
            raise QueueFullError(min(max(math.ceil(waiting * self._seconds_per_row), 1), LONGEST_RETRY))
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._queue.append(Job(rows, self.served, future, on_text))
        self._arrived.set()
        return future

    def stream(self, row: Row) -> AsyncGenerator[str | Answer | BaseException]:
        """Return an iterator over the pieces of the generated text of a row, with the answer or the error at the end.

        Closing the iterator ends the generation. Raises QueueFullError; the iterator raises TimeoutError if no piece arrives
        within the time limit of a request.
        """
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[str | None] = asyncio.Queue()

        def on_text(piece: str) -> bool:
            loop.call_soon_threadsafe(pieces.put_nowait, piece)
            return not future.cancelled()

        future = self.submit([row], on_text)
        future.add_done_callback(lambda _: pieces.put_nowait(None))

        async def iterate() -> AsyncGenerator[str | Answer | BaseException]:
            try:
                while (piece := await asyncio.wait_for(pieces.get(), self._limits.seconds)) is not None:
                    yield piece
                yield future.exception() or future.result()
            finally:
                future.cancel()

        return iterate()

    async def run(self) -> None:
        """Predict batches until the task is cancelled."""
        n_requests = 1
        while True:
            await self._arrived.wait()
            if n_requests > 1 and self.waiting_rows < ROWS_PER_BATCH:
                await asyncio.sleep(WAIT)
            parts = self._take()
            n_requests = len(parts)
            if parts:
                self._busy_since = time.monotonic()
                await self._predict(parts)
                self._busy_since = None
            self._queue.extend(part.job for part in parts if part.job.n_remaining and not part.job.future.done())
            if not self._queue:
                self._arrived.clear()

    def close(self) -> None:
        """Refuse new batches. A batch that is running is not waited for."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _take(self) -> list[_Part]:
        """Take the next rows off the queue: of requests for the same model, or of one request that streams a text."""
        parts: list[_Part] = []
        n_rows = 0
        while self._queue and n_rows < ROWS_PER_BATCH:
            job = self._queue[0]
            if job.future.done():  # the client has gone
                self._queue.popleft()
                continue
            if parts and (job.on_text or parts[0].job.on_text or job.served is not parts[0].job.served):
                break
            start = len(job.predictions)
            part = _Part(self._queue.popleft(), job.rows[start : start + ROWS_PER_BATCH - n_rows], start + 1)
            parts.append(part)
            n_rows += len(part.rows)
        return parts

    async def _predict(self, parts: list[_Part]) -> None:
        """Predict a batch and end its requests. If it fails, each request is predicted alone, so that only one fails."""
        started = time.perf_counter()
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(self._thread, _predict_parts, parts)
        await asyncio.wait({running})
        error = running.exception()
        if error is not None and len(parts) > 1:
            for part in parts:
                await self._predict([part])
            return
        if error is not None:
            parts[0].job.fail(error)
            return
        for part, outcome in zip(parts, running.result(), strict=True):
            if isinstance(outcome, Answer):
                part.job.add(outcome)
            else:
                part.job.fail(outcome)
        self._measure(sum(len(part.rows) for part in parts), time.perf_counter() - started)

    def _measure(self, n_rows: int, seconds: float) -> None:
        self._seconds_per_row += 0.2 * (seconds / n_rows - self._seconds_per_row)
        labels = {"model": self.name}
        self._metrics.observe("ftk_batch_rows", "Rows of a batch.", labels, n_rows, ROWS)
        self._metrics.observe("ftk_batch_seconds", "Time of a batch in the model.", labels, seconds)
        self._metrics.count("ftk_rows_total", "Predicted rows.", labels, n_rows)


def _predict_parts(parts: Sequence[_Part]) -> list[Answer | FtkError]:
    """Return the answer of each part, or the error in its rows. Runs in the thread of the model."""
    served = parts[0].job.served
    outcomes: list[Answer | FtkError | None] = [None] * len(parts)
    groups: dict[tuple[str, ...], list[tuple[int, Sequence[Row], list[str]]]] = {}
    for number, part in enumerate(parts):
        try:
            columns = {name: name for row in part.rows for name in row}
            inputs = served.model.read(list(part.rows), columns, part.first_row)
        except FtkError as error:
            outcomes[number] = error
            continue
        # rows with other columns cannot be encoded together
        groups.setdefault(tuple(sorted(inputs.rows[0])), []).append((number, inputs.rows, inputs.remarks))
    for group in groups.values():
        rows = [row for _, read, _ in group for row in read]
        predictions = _predict_group(served, rows, parts[group[0][0]].job.on_text)
        start = 0
        for number, read, notes in group:
            outcomes[number] = Answer(predictions[start : start + len(read)], notes, served.version)
            start += len(read)
    return [outcome for outcome in outcomes if outcome is not None]


def _predict_group(served: ServedModel, rows: Sequence[Row], on_text: OnText | None) -> list[dict[str, Any]]:
    if on_text is not None:
        return [served.model.predict_row(rows[0], on_text)]
    return served.model.predict_split(rows)[0]

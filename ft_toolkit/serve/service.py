"""The models of the server by name: load them, and replace one by a new version while requests are answered."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

from ft_toolkit.core.errors import FtkError, ModelError
from ft_toolkit.serve.batching import Batcher
from ft_toolkit.serve.logs import describe_error, log
from ft_toolkit.serve.metrics import Metrics
from ft_toolkit.serve.options import ModelSource, Options
from ft_toolkit.serve.served_model import ServedModel, find_version, load_served

# A batch that runs longer than this many times the time limit of a request is reported as stuck.
STUCK = 5


class Service:
    """The models, their queues and their metrics."""

    def __init__(self, options: Options) -> None:
        """Load all models. Raises ModelError, RunFolderError."""
        self.options = options
        self.metrics = Metrics()
        self.batchers: dict[str, Batcher] = {}
        self.is_stopping = False
        self._tasks: list[asyncio.Task[None]] = []
        self._reloading = asyncio.Lock()
        for source in options.models:
            served = load_served(source.path)
            self.batchers[source.name] = Batcher(source.name, served, options.limits, self.metrics)
            log("loaded", model=source.name, version=served.version, task=served.model.task.name)
        self.metrics.gauge("ftk_queue_rows", "Waiting rows.", self._waiting)
        self.metrics.gauge("ftk_model_info", "The version of each model; the value is 1.", self._versions)

    def start(self) -> None:
        """Start predicting, in the running event loop."""
        self._tasks = [asyncio.create_task(batcher.run()) for batcher in self.batchers.values()]
        for task in self._tasks:
            task.add_done_callback(_log_end)

    def stop(self) -> None:
        """Stop predicting."""
        for task in self._tasks:
            task.cancel()
        for batcher in self.batchers.values():
            batcher.close()

    def stuck_models(self) -> list[str]:
        """Return the names of models with a batch that does not end, or whose task has ended."""
        limit = STUCK * self.options.limits.seconds
        alive = {name: not task.done() for name, task in zip(self.batchers, self._tasks, strict=False)}
        return [
            name for name, batcher in self.batchers.items() if batcher.busy_seconds > limit or not alive.get(name, True)
        ]

    async def reload(self) -> None:
        """Load the models whose files have changed. A model that cannot be loaded or fails its check keeps its old version.

        Requests in the queue are answered by the version that was there when they arrived.
        """
        async with self._reloading:
            for source in self.options.models:
                await self._reload(source)

    async def _reload(self, source: ModelSource) -> None:
        batcher = self.batchers[source.name]
        loading = asyncio.get_running_loop().run_in_executor(None, _load_new, source.path, batcher.served)
        await asyncio.wait({loading})
        error, old = loading.exception(), batcher.served.version
        facts: dict[str, Any] = {"model": source.name, "version": old}
        if error is not None:
            # the messages of our errors have names of files, but no texts of requests
            reason = {"error": str(error)} if isinstance(error, FtkError) else describe_error(error)
            log("reload_failed", "error", **facts, **reason)
            outcome = "failed"
        elif (new := loading.result()) is None:
            log("reload_unchanged", **facts)
            outcome = "unchanged"
        else:
            batcher.served = new
            log("reloaded", **facts | {"version": new.version, "previous": old})
            outcome = "reloaded"
        labels = {"model": source.name, "outcome": outcome}
        self.metrics.count("ftk_reloads_total", "Reloads by outcome.", labels)

    def _waiting(self) -> Iterator[tuple[Mapping[str, str], float]]:
        for name, batcher in self.batchers.items():
            yield {"model": name}, float(batcher.waiting_rows)

    def _versions(self) -> Iterator[tuple[Mapping[str, str], float]]:
        for name, batcher in self.batchers.items():
            yield {"model": name, "version": batcher.served.version, "task": batcher.served.model.task.name}, 1.0


def _log_end(task: asyncio.Task[None]) -> None:
    """Log the error that ended a queue, which the server reports as not healthy."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log("queue_failed", "error", **describe_error(error))


def _load_new(path: str, current: ServedModel) -> ServedModel | None:
    """Return the new version of a model, or None if its files are unchanged. Raises ModelError for another API."""
    if find_version(path) == current.version:
        return None
    new = load_served(path)
    if new.version == current.version:
        return None
    before, after = ((served.model.task.name, served.form, tuple(served.input_columns)) for served in (current, new))
    if before != after:
        raise ModelError(
            f"{path}: the new version has another task or another form of predictions, which changes the API; start a server "
            "with it under another name"
        )
    return new

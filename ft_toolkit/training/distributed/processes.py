"""Coordinate the processes of one run, which may be on machines without a shared folder.

Only the main process writes to the run folder and reads from it; the other processes receive the content.
"""

import os
import platform
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Generic, TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import InitProcessGroupKwargs, broadcast_object_list, gather_object

from ft_toolkit.core import environment
from ft_toolkit.core.errors import FtkError, LostProcessError, UsageError

T = TypeVar("T")
# The longest time that one process waits for another. The main process downloads and tokenizes first, and checks and scores
# last. The end of a process is noticed at once, because its connections close; the loss of a machine by `watch`.
TIMEOUT = timedelta(minutes=30)
# Bytes per broadcast of a file.
_CHUNK = 2**26


@dataclass(frozen=True)
class _Outcome(Generic[T]):
    """The value of a call, or the error that it raised."""

    value: T | None = None
    error: FtkError | None = None


def join() -> PartialState:
    """Join the other processes of this run and return their shared state.

    Raises UsageError if Accelerate finds another number of processes than the launcher started.
    """
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    # With DeepSpeed visible, Accelerate creates a DeepSpeed state on GPUs, and an Accelerator without DeepSpeed fails with it.
    with environment.hidden_variables(environment.DEEPSPEED):
        distributed = PartialState(cpu=environment.use_cpu(), **InitProcessGroupKwargs(timeout=TIMEOUT).to_kwargs())
    if distributed.num_processes != world_size:
        raise UsageError(
            f"the launcher started {world_size} processes, but Accelerate found {distributed.num_processes}; check the "
            "launcher's settings"
        )
    return distributed


@contextmanager
def joined() -> Iterator[PartialState]:
    """Join the other processes on entry and leave them on exit.

    Raises LostProcessError instead of PyTorch's error if another process has ended.
    """
    distributed = join()
    try:
        yield distributed
    except (torch.distributed.DistError, RuntimeError) as error:
        if distributed.num_processes == 1 or not _is_lost_connection(error):
            raise
        raise LostProcessError(
            f"process {distributed.process_index} on {platform.node()} lost the connection to another process of this run "
            f"({_reason(error)}). The first error above is the cause. Resume from the last checkpoint with "
            "--output FOLDER --resume"
        ) from error
    distributed.destroy_process_group()


def on_main_process(distributed: PartialState, work: Callable[[], T]) -> T:
    """Call `work` on the main process and return its value, or raise its FtkError, on every process."""
    outcome = _attempt(work) if distributed.is_main_process else _Outcome[T]()
    if distributed.num_processes > 1:
        sent = [_Outcome(outcome.value, None if outcome.error is None else _portable(outcome.error))]
        broadcast_object_list(sent)
        if not distributed.is_main_process:
            outcome = sent[0]
    return _unwrap(outcome)


def main_process_first(distributed: PartialState, work: Callable[[], T], between: Callable[[], None]) -> T:
    """Call `work` on every process, on the main process first, and return each process's own value.

    All processes call `between` after the main process has finished and before the others start. If `work` raises an FtkError
    on any process, every process raises it.
    """
    outcome = _attempt(work) if distributed.is_main_process else _Outcome[T]()
    _raise_first(distributed, outcome.error)
    between()
    if not distributed.is_main_process:
        outcome = _attempt(work)
    _raise_first(distributed, outcome.error)
    return _unwrap(outcome)


def check_same(distributed: PartialState, facts: Mapping[str, str]) -> None:
    """Raise UsageError on every process if `facts` differ between processes.

    The message names the first fact that differs, so a fact must come before the facts that depend on it.
    """
    if distributed.num_processes == 1:
        return
    gathered: list[tuple[str, dict[str, str]]] = gather_object([(platform.node(), dict(facts))])
    main_host, main_facts = gathered[0]
    for rank, (host, rank_facts) in enumerate(gathered):
        name = next((name for name in main_facts if main_facts[name] != rank_facts[name]), None)
        if name is not None:
            raise UsageError(
                f"process 0 on {main_host} and process {rank} on {host} have different values of '{name}': "
                f"{main_facts[name]} and {rank_facts[name]}. Use the same {name} on every machine"
            )


def read_on_main_process(distributed: PartialState, path: Path) -> bytes:
    """Read a file on the main process and return its content on every process."""
    if distributed.num_processes == 1:
        return path.read_bytes()
    content = path.read_bytes() if distributed.is_main_process else b""
    size = on_main_process(distributed, lambda: len(content))
    chunks = []
    for start in range(0, size, _CHUNK):
        chunk = torch.empty(min(_CHUNK, size - start), dtype=torch.uint8)
        if distributed.is_main_process:
            chunk.copy_(torch.frombuffer(bytearray(content[start : start + _CHUNK]), dtype=torch.uint8))
        chunk = chunk.to(distributed.device)
        torch.distributed.broadcast(chunk, 0)
        chunks.append(chunk.cpu().numpy().tobytes())
    return b"".join(chunks)


@contextmanager
def visible_folder(folder: Path) -> Iterator[Path]:
    """Yield `folder`, or a temporary folder on a machine that cannot see it."""
    if folder.is_dir():
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="ftk_") as scratch:
        yield Path(scratch)


def copy_folder(distributed: PartialState, folder: Path, *, missing: bool) -> None:
    """Copy the main process's files below `folder` to the same path on every process that passes `missing=True`."""
    if distributed.num_processes == 1 or not any(gather_object([missing])):
        return
    names = on_main_process(
        distributed, lambda: [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()]
    )
    for name in names:
        content = read_on_main_process(distributed, folder / name)
        if missing:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)


def _attempt(work: Callable[[], T]) -> _Outcome[T]:
    """Call `work` and return its value or its FtkError."""
    try:
        return _Outcome(value=work())
    except FtkError as error:
        return _Outcome(error=error)


def _unwrap(outcome: _Outcome[T]) -> T:
    """Return the value of a call, or raise its error."""
    if outcome.error is not None:
        raise outcome.error
    value: T = outcome.value  # type: ignore[assignment]  # T may include None
    return value


def _raise_first(distributed: PartialState, error: FtkError | None) -> None:
    """Raise the first error of all processes on every process; return if there is none."""
    if distributed.num_processes == 1:
        if error is not None:
            raise error
        return
    origin = "" if distributed.is_main_process else f"process {distributed.process_index} on {platform.node()}: "
    errors: list[FtkError | None] = gather_object([None if error is None else _portable(error, origin)])
    first = next((gathered for gathered in errors if gathered is not None), None)
    if first is not None:
        raise error if error is not None and distributed.is_main_process else first


def _is_lost_connection(error: RuntimeError) -> bool:
    return isinstance(error, torch.distributed.DistError) or "gloo" in str(error)


def _reason(error: RuntimeError) -> str:
    """Return PyTorch's message without the source location and the advice."""
    first_line = str(error).splitlines()[0].partition(". This is typically")[0]
    return re.sub(r"^\[\S*?:\d+\] ", "", first_line)


def _portable(error: FtkError, prefix: str = "") -> FtkError:
    """Return an error of the same exit code that can be pickled: some errors hold more than their message."""
    kind = UsageError if isinstance(error, UsageError) else FtkError
    return kind(f"{prefix}{error}")

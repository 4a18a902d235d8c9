"""The processes of one run, perhaps on machines that share no folder: what they decide, check and read together.

Only the main process writes the run folder and reads from it; the others get what it read.
"""

import os
import platform
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import InitProcessGroupKwargs, broadcast_object_list, gather_object

from ft_toolkit.core import environment
from ft_toolkit.core.errors import FtkError, LostProcessError, UsageError

T = TypeVar("T")
# How long one process may wait for another, which downloads and tokenizes first, and proves and scores last. A process that
# dies is noticed at once, by its connections; a machine that vanishes without a word, or never comes, after this time.
PATIENCE = timedelta(minutes=30)
# Bytes that are sent at once.
_CHUNK = 2**26


def join() -> PartialState:
    """Join the other processes of this run. Raises UsageError when they are not as many as the launcher started."""
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    # else on GPUs the state would be DeepSpeed's, and an Accelerator that does not see DeepSpeed fails with it
    with environment.unseen(environment.DEEPSPEED):
        state = PartialState(cpu=environment.use_cpu(), **InitProcessGroupKwargs(timeout=PATIENCE).to_kwargs())
    if state.num_processes != world_size:
        raise UsageError(f"the launcher started {world_size} processes, Accelerate sees {state.num_processes}")
    return state


@contextmanager
def joined() -> Iterator[PartialState]:
    """Join the other processes and leave them at the end; raise LostProcessError for what PyTorch raises when one is gone."""
    state = join()
    try:
        yield state
    except (torch.distributed.DistError, RuntimeError) as error:
        if state.num_processes == 1 or not _is_loss(error):
            raise
        raise LostProcessError(
            f"process {state.process_index} on {platform.node()} lost another process of this run ({_reason(error)}); what "
            "was reported first is the cause. A run with a checkpoint goes on with --output FOLDER --resume"
        ) from error
    state.destroy_process_group()


def agree(state: PartialState, decide: Callable[[], T]) -> T:
    """Return what the main process decides, or raise its FtkError, on every process."""
    decided: list[Any] = [None]
    own: FtkError | None = None
    if state.is_main_process:
        try:
            decided = [(decide(), None)]
        except FtkError as error:
            own, decided = error, [(None, _portable(error))]
    if state.num_processes > 1:
        broadcast_object_list(decided)
    value, failed = decided[0]
    if failed is not None:
        raise own or failed
    found: T = value
    return found


def main_first(state: PartialState, do: Callable[[], T], between: Callable[[], None]) -> T:
    """Do something on every process, on the main one first; where it fails anywhere, raise that FtkError on all.

    `between` runs on all processes after the main one has done it, and before the others do.
    """
    made: list[T] = []
    agree(state, lambda: made.append(do()))
    between()
    own: FtkError | None = None
    if not made:
        try:
            made.append(do())
        except FtkError as error:
            own = error
    if state.num_processes > 1:
        where = f"process {state.process_index} on {platform.node()}"
        failed = [None if own is None else _portable(own, f"{where}: ")]
        first = next((error for error in gather_object(failed) if error is not None), None)
        if first is not None:
            raise first
    return made[0]


def check_same(state: PartialState, facts: Mapping[str, str]) -> None:
    """Raise UsageError on every process when they do not all have the same facts. What follows from others
    stands after them: the first that differs is named."""
    if state.num_processes == 1:
        return
    found: list[tuple[str, dict[str, str]]] = gather_object([(platform.node(), dict(facts))])
    host, first = found[0]
    for rank, (other, theirs) in enumerate(found):
        name = next((name for name in first if first[name] != theirs[name]), None)
        if name is not None:
            raise UsageError(
                f"process 0 on {host} and process {rank} on {other} would not train the same: {name} {first[name]} and "
                f"{theirs[name]}. Give every machine the same {name}"
            )


def read_bytes(state: PartialState, path: Path) -> bytes:
    """Return a file's content, which only the main process reads, on every process. Raises FtkError when it cannot."""
    if state.num_processes == 1:
        return path.read_bytes()
    content = path.read_bytes() if state.is_main_process else b""
    size = agree(state, lambda: len(content))
    parts = []
    for start in range(0, size, _CHUNK):
        part = torch.empty(min(_CHUNK, size - start), dtype=torch.uint8)
        if state.is_main_process:
            part.copy_(torch.frombuffer(bytearray(content[start : start + _CHUNK]), dtype=torch.uint8))
        part = part.to(state.device)
        torch.distributed.broadcast(part, 0)
        parts.append(part.cpu().numpy().tobytes())
    return b"".join(parts)


@contextmanager
def seen_folder(folder: Path) -> Iterator[Path]:
    """Yield `folder`, or an empty one in its place on a machine that does not see it, gone at the end."""
    if folder.is_dir():
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="ftk_") as scratch:
        yield Path(scratch)


def share_folder(state: PartialState, folder: Path, *, missing: bool) -> None:
    """Copy the files below the main process's `folder` to the same place on the processes that miss them."""
    if state.num_processes == 1 or not any(gather_object([missing])):
        return
    names = agree(state, lambda: [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()])
    for name in names:
        content = read_bytes(state, folder / name)
        if missing:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)


def _is_loss(error: RuntimeError) -> bool:
    return isinstance(error, torch.distributed.DistError) or "gloo" in str(error)


def _reason(error: RuntimeError) -> str:
    """Return the reason without the place in PyTorch's source and its advice."""
    first = str(error).splitlines()[0].partition(". This is typically")[0]
    return re.sub(r"^\[\S*?:\d+\] ", "", first)


def _portable(error: FtkError, prefix: str = "") -> FtkError:
    """Return the error as one that another process can be sent: some have more than their words."""
    kind = UsageError if isinstance(error, UsageError) else FtkError
    return kind(f"{prefix}{error}")

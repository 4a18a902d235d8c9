"""Push a finished run to the Hub: the only file that uploads."""

import fnmatch
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants

import ft_toolkit
from ft_toolkit.core.errors import FtkError, HubError, UsageError
from ft_toolkit.core.run_folder import INFERENCE
from ft_toolkit.hub.access import Destination, Say, check_access, in_words, patiently
from ft_toolkit.hub.upload_set import Files, find_run, gather
from ft_toolkit.recipe.load import LoadedRecipe

# What an earlier push may have left that would make another model of this one, such as the adapter of a merged model.
_REPLACED = (
    "*.safetensors",
    "*.safetensors.index.json",
    "*.bin",
    "adapter_config.json",
    "config.json",
    "generation_config.json",
    "chat_template.jinja",
    "tokenizer*",
    "vocab.*",
    "merges.txt",
    "*.model",
    INFERENCE,
)


@dataclass(frozen=True)
class Pushed:
    """What a push did: the page to look at, the commit that holds the model, and whether it is a new one."""

    url: str
    commit: str
    changed: bool


def push(folder: Path, to: Destination, *, merged: bool, say: Say, dry_run: bool = False) -> Pushed | None:
    """Upload a finished run; with `dry_run` only say what would be. Returns None for a dry run.

    All files go in one commit, so that nobody ever loads half a model; a push that was interrupted is simply done again, and
    uploads only what is not there yet. Raises UsageError, AccessError or HubError.
    """
    to.check()
    run = find_run(folder)
    with tempfile.TemporaryDirectory() as scratch:
        whole = None
        if merged and (run / "model" / "adapter_config.json").is_file():
            from ft_toolkit.inference.model_folder import write_merged  # torch

            whole = Path(scratch)
            write_merged(run / "model", whole)
        files = gather(run, to.repo, whole)
        for name, content in files.items():
            say(f"  {name:<40} {_size(_length(content)):>9}")
        total = _size(sum(map(_length, files.values())))
        if dry_run:
            say(f"{len(files)} files, {total}, would go to {to.repo}{_where(to)}; nothing was sent")
            return None
        say(f"{len(files)} files, {total}. {check_access(to, say)}{_where(to)}")
        return _send(to, files, f"Upload {run.resolve().name} with ft_toolkit {ft_toolkit.__version__}", say)


def _send(to: Destination, files: Files, message: str, say: Say) -> Pushed:
    """Commit the files, and tag the commit where that is wanted. Raises UsageError, AccessError or HubError."""
    api = HfApi()
    with in_words(f"{to.repo}: "):
        before = patiently(lambda: _head(api, to, message)[1], say)
        tagged = patiently(lambda: _tagged(api, to), say)
        if tagged not in (None, before):
            raise UsageError(f"{to.repo}: the tag {to.tag} belongs to commit {tagged} already; choose another")
        page, commit = patiently(lambda: _commit(api, to, files, message), say)
        if tagged not in (None, commit):
            raise HubError(
                f"{to.repo}: pushed as commit {commit}, but the tag {to.tag} stays at {tagged}; push again with another"
            )
        if to.tag is not None and tagged is None:
            patiently(lambda: api.create_tag(to.repo, tag=str(to.tag), revision=commit, exist_ok=True), say)
    return Pushed(page, commit, commit != before)


def push_finished(loaded: LoadedRecipe, folder: Path, say: Say) -> None:
    """Push a run that is finished on this disk as its recipe says. Raises HubError with the command to do it again."""
    to, merged = Destination.of(loaded), loaded.recipe.hub.merged
    options = (" --merged" if merged else "") + ("" if to.private else " --public")
    options += f" --revision {to.revision}" if to.revision is not None else ""
    try:
        pushed = push(folder, to, merged=merged, say=say)
    except FtkError as error:
        raise HubError(
            f"{error}\nthe run is finished in {folder}; push again with: ftk push {folder} {to.repo}{options}"
        ) from None
    assert pushed is not None
    say(conclusion(pushed))


def conclusion(pushed: Pushed) -> str:
    """Return what to tell after a push."""
    if not pushed.changed:
        return f"nothing has changed: {pushed.url} has all of it at commit {pushed.commit}"
    return f"pushed: {pushed.url} at commit {pushed.commit}"


def _head(api: HfApi, to: Destination, title: str) -> tuple[str | None, str | None]:
    """Return the revision to commit to and the commit it is at; a branch that is not there is made.

    For a pull request that is still to be opened the revision is None, and the commit is that of main.
    """
    revision = to.revision
    if to.pull_request:
        number = _open_pull_request(api, to.repo, title)
        revision = f"refs/pr/{number}" if number is not None else None
    elif revision is not None:
        api.create_branch(to.repo, branch=revision, exist_ok=True)
    return revision, api.repo_info(to.repo, revision=revision).sha


def _commit(api: HfApi, to: Destination, files: Files, message: str) -> tuple[str, str]:
    """Make one commit of what differs from the repository, without what an earlier push left of another model.

    Returns the page to look at and the commit that holds all files: without a difference, the one that is there.
    """
    revision, head = _head(api, to, message)
    stale = [
        name
        for name in api.list_repo_files(to.repo, revision=revision)
        if name not in files and "/" not in name and any(fnmatch.fnmatch(name, pattern) for pattern in _REPLACED)
    ]
    operations: list[Any] = [CommitOperationAdd(name, content) for name, content in files.items()]
    operations += [CommitOperationDelete(name) for name in stale]
    info = api.create_commit(
        to.repo,
        operations,
        commit_message=message,
        revision=revision,
        create_pr=to.pull_request and revision is None,
        parent_commit=head,
    )
    page = f"{constants.ENDPOINT}/{to.repo}"
    if revision is not None and revision.startswith("refs/pr/"):
        page += f"/discussions/{revision.rpartition('/')[2]}"
    return info.pr_url or page, info.oid


def _open_pull_request(api: HfApi, repo: str, title: str) -> int | None:
    """Return the number of our own open pull request for this model, so that a second push does not open another."""
    me = api.whoami()["name"]
    open_ones = api.get_repo_discussions(repo, author=me, discussion_type="pull_request", discussion_status="open")
    return next((one.num for one in open_ones if one.title == title), None)


def _tagged(api: HfApi, to: Destination) -> str | None:
    """Return the commit that the tag belongs to, None where it is free or not wanted."""
    if to.tag is None:
        return None
    return next((ref.target_commit for ref in api.list_repo_refs(to.repo).tags if ref.name == to.tag), None)


def _where(to: Destination) -> str:
    if to.pull_request:
        return ", as a pull request"
    return f", branch {to.revision}" if to.revision is not None else ""


def _length(content: Path | bytes) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _size(n_bytes: float) -> str:
    for unit in ("B", "kB", "MB"):
        if n_bytes < 1000:
            return f"{n_bytes:.0f} B" if unit == "B" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.1f} GB"

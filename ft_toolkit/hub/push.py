"""Push a finished run to the Hub. No other module uploads."""

import fnmatch
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants

import ft_toolkit
from ft_toolkit.core.errors import FtkError, HubError, UsageError, one_of
from ft_toolkit.core.run_folder import (
    ADAPTER_CONFIG,
    BASE_CONFIG,
    CERTIFICATE,
    ENSEMBLE,
    INFERENCE,
    MEMBERS,
    MODEL,
    ONNX_ENCODER,
    ONNX_GRAPH,
)
from ft_toolkit.core.run_records import read_results
from ft_toolkit.hub.access import Destination, Say, check_access, explained_errors, with_retries
from ft_toolkit.hub.upload_set import Files, collect_files, find_run, left_out
from ft_toolkit.recipe.load_recipe import LoadedRecipe

# Files of an earlier push that are deleted, because they would change the model; for example the adapter of a merged model.
_REPLACED = (
    "*.safetensors",
    "*.safetensors.index.json",
    "*.bin",
    ADAPTER_CONFIG,
    "config.json",
    f"{BASE_CONFIG}/*",
    "generation_config.json",
    "chat_template.jinja",
    "tokenizer*",
    "vocab.*",
    "merges.txt",
    "*.model",
    INFERENCE,
    ENSEMBLE,
    CERTIFICATE,
    ONNX_ENCODER,
    ONNX_GRAPH,
)


@dataclass(frozen=True)
class Pushed:
    """The result of a push: the web page, the commit with the model, and whether the push created this commit."""

    url: str
    commit: str
    changed: bool


def push(folder: Path, destination: Destination, *, merged: bool, say: Say, dry_run: bool = False) -> Pushed | None:
    """Upload a finished run. With `dry_run`, list the files, upload nothing and return None.

    All files are in one commit, so that an incomplete model can never be loaded. An interrupted push can be repeated; it
    uploads only the missing files. Raises UsageError, AccessError or HubError.
    """
    destination.check()
    run = find_run(folder)
    if read_results(run).is_smoke:
        say("warning: this is a smoke run: its model was trained for a few steps, and its scores mean nothing")
    with tempfile.TemporaryDirectory() as scratch:
        merged_model = None
        if merged and (run / MODEL / ADAPTER_CONFIG).is_file():
            from ft_toolkit.inference.model_folder import write_merged  # torch

            merged_model = Path(scratch)
            write_merged(run / MODEL, merged_model)
        files = collect_files(run, destination.repo, merged_model)
        if unknown := left_out(merged_model or run / MODEL):
            say(f"not uploaded, because they are not files of a model: {one_of(unknown)}")
        for name, content in files.items():
            say(f"  {name:<40} {_size(_length(content)):>9}")
        total = _size(sum(map(_length, files.values())))
        if dry_run:
            say(
                f"{len(files)} files, {total}, would be pushed to {destination.repo}{_target(destination)}; "
                "nothing was uploaded"
            )
            return None
        say(f"{len(files)} files, {total}. {check_access(destination, say)}{_target(destination)}")
        return _upload(destination, files, f"Upload {run.resolve().name} with ft_toolkit {ft_toolkit.__version__}", say)


def _upload(destination: Destination, files: Files, message: str, say: Say) -> Pushed:
    """Commit the files, and tag the commit if `destination` has a tag. Raises UsageError, AccessError or HubError."""
    api = HfApi()
    with explained_errors(f"{destination.repo}: "):
        repo, tag = destination.repo, destination.tag
        before = with_retries(lambda: _head(api, destination, message)[1], say)
        tagged = with_retries(lambda: _tagged_commit(api, destination), say)
        if tagged not in (None, before):
            raise UsageError(f"{repo}: the tag {tag} already belongs to commit {tagged}; choose another tag")
        page, commit = with_retries(lambda: _commit(api, destination, files, message), say)
        if tagged not in (None, commit):
            raise HubError(
                f"{repo}: pushed as commit {commit}, but the tag {tag} still belongs to {tagged}; push again with another tag"
            )
        if tag is not None and tagged is None:
            with_retries(lambda: api.create_tag(repo, tag=tag, revision=commit, exist_ok=True), say)
    return Pushed(page, commit, commit != before)


def push_finished(loaded: LoadedRecipe, folder: Path, say: Say) -> None:
    """Push a finished run to the destination in its recipe. Raises HubError with the command for another attempt."""
    destination, merged = Destination.of(loaded), loaded.recipe.hub.merged
    options = (" --merged" if merged else "") + ("" if destination.private else " --public")
    options += f" --revision {destination.revision}" if destination.revision is not None else ""
    try:
        pushed = push(folder, destination, merged=merged, say=say)
    except FtkError as error:
        raise HubError(
            f"{error}\nThe run in {folder} is complete. Push it again with: ftk push {folder} {destination.repo}{options}"
        ) from None
    assert pushed is not None
    say(describe_push(pushed))


def describe_push(pushed: Pushed) -> str:
    """Return the line to print after a push."""
    if not pushed.changed:
        return f"nothing has changed: {pushed.url} already has all files at commit {pushed.commit}"
    return f"pushed: {pushed.url} at commit {pushed.commit}"


def _head(api: HfApi, destination: Destination, title: str) -> tuple[str | None, str | None]:
    """Return the revision to commit to and its current commit. A missing branch is created.

    For a pull request that is not open yet, the revision is None and the commit is the current commit of main.
    """
    revision = destination.revision
    if destination.pull_request:
        number = _open_pull_request(api, destination.repo, title)
        revision = f"refs/pr/{number}" if number is not None else None
    elif revision is not None:
        api.create_branch(destination.repo, branch=revision, exist_ok=True)
    return revision, api.repo_info(destination.repo, revision=revision).sha


def _commit(api: HfApi, destination: Destination, files: Files, message: str) -> tuple[str, str]:
    """Commit all changed files, and delete the files of another model that an earlier push left.

    Returns the web page and the commit that contains all files; without changes, this is the current commit.
    """
    revision, head = _head(api, destination, message)
    stale = [
        name
        for name in api.list_repo_files(destination.repo, revision=revision)
        if name not in files and (name.startswith(f"{MEMBERS}/") or _is_replaced(name))
    ]
    operations: list[Any] = [CommitOperationAdd(name, content) for name, content in files.items()]
    operations += [CommitOperationDelete(name) for name in stale]
    info = api.create_commit(
        destination.repo,
        operations,
        commit_message=message,
        revision=revision,
        create_pr=destination.pull_request and revision is None,
        parent_commit=head,
    )
    page = f"{constants.ENDPOINT}/{destination.repo}"
    if revision is not None and revision.startswith("refs/pr/"):
        page += f"/discussions/{revision.rpartition('/')[2]}"
    return info.pr_url or page, info.oid


def _is_replaced(name: str) -> bool:
    """Return whether a file of the repository belongs to the model of an earlier push."""
    is_of_model = "/" not in name or name.startswith(f"{BASE_CONFIG}/")
    return is_of_model and any(fnmatch.fnmatch(name, pattern) for pattern in _REPLACED)


def _open_pull_request(api: HfApi, repo: str, title: str) -> int | None:
    """Return the number of the open pull request that an earlier push of this model opened, None if there is none."""
    user = api.whoami()["name"]
    discussions = api.get_repo_discussions(repo, author=user, discussion_type="pull_request", discussion_status="open")
    return next((discussion.num for discussion in discussions if discussion.title == title), None)


def _tagged_commit(api: HfApi, destination: Destination) -> str | None:
    """Return the commit of the tag, None if the tag does not exist or `destination` has none."""
    if destination.tag is None:
        return None
    tags = api.list_repo_refs(destination.repo).tags
    return next((tag.target_commit for tag in tags if tag.name == destination.tag), None)


def _target(destination: Destination) -> str:
    if destination.pull_request:
        return ", as a pull request"
    return f", branch {destination.revision}" if destination.revision is not None else ""


def _length(content: Path | bytes) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _size(n_bytes: float) -> str:
    for unit in ("B", "kB", "MB"):
        if n_bytes < 1000:
            return f"{n_bytes:.0f} B" if unit == "B" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.1f} GB"

"""Push a finished run to the Hub: the only file that uploads. What may be pushed, and where to, is checked before training."""

import fnmatch
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    ModelCard,
    constants,
    get_token,
)
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

import ft_toolkit
from ft_toolkit.config import saves_adapter
from ft_toolkit.errors import AccessError, FtkError, HubError, UsageError, one_of
from ft_toolkit.hub_errors import FAILURES, may_pass, reason
from ft_toolkit.hub_names import owned_id, revision_name
from ft_toolkit.recipe_file import LoadedRecipe
from ft_toolkit.report.card import planned_card
from ft_toolkit.run_folder import CONTRACT
from ft_toolkit.staging import Files, find_run, gather

_REMEDY = "set HF_TOKEN to a token with write access, or log in with: hf auth login"
# Seconds between tries when the Hub is busy or the connection breaks; huggingface_hub itself does not retry a commit.
WAITS = (1, 2, 4)
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
    CONTRACT,
)
Say = Callable[[str], None]
T = TypeVar("T")


@dataclass(frozen=True)
class Destination:
    """Where a model goes. `private` matters for a repository that has to be made; `revision` None is main."""

    repo: str
    private: bool = True
    revision: str | None = None
    pull_request: bool = False
    tag: str | None = None

    def check(self) -> None:
        """Raise UsageError where the names or the choices will not do."""
        try:
            owned_id(self.repo)
            for name in (self.revision, self.tag):
                if name is not None:
                    revision_name(name)
        except ValueError as error:
            raise UsageError(str(error)) from None
        if self.pull_request and (self.revision is not None or self.tag is not None):
            raise UsageError("--pull-request proposes a change of main; it goes with neither --revision nor --tag")


@dataclass(frozen=True)
class Pushed:
    """What a push did: the page to look at, the commit that holds the model, and whether it is a new one."""

    url: str
    commit: str
    changed: bool


def check_recipe(loaded: LoadedRecipe, say: Say, *, make: bool = True) -> None:
    """Find out before training whether the finished model can be pushed as the recipe's `hub:` section says.

    Raises AccessError, UsageError or HubError. With `make` a repository that is not there yet is made, which proves the right.
    """
    hub, model = loaded.recipe.hub, loaded.recipe.model
    if saves_adapter(loaded.recipe.method) and not hub.merged and model.name is not None and Path(model.name).is_dir():
        raise UsageError(
            f"hub.push: the adapter will belong to the base model in {model.name}, which nobody else has; push whole weights "
            "with hub.merged=true"
        )
    to = destination_of(loaded)
    say(f"hub      {check_access(to, say, make=make)}")
    check_card(planned_card(loaded), say)


def destination_of(loaded: LoadedRecipe) -> Destination:
    """Return where a recipe wants its model."""
    hub = loaded.recipe.hub
    assert hub.repo is not None, "a recipe that pushes has a repository"
    return Destination(hub.repo, hub.private, hub.revision)


def check_access(to: Destination, say: Say, *, make: bool = True) -> str:
    """Return who pushes where; with `make` the repository is made if it is not there. Raises AccessError or HubError."""
    api, owner = HfApi(), to.repo.partition("/")[0]
    if constants.HF_HUB_OFFLINE:
        raise AccessError("HF_HUB_OFFLINE keeps the network off, so nothing can be pushed; unset it")
    if get_token() is None:
        raise AccessError(f"there is no token for the Hub; {_REMEDY}")
    with _in_words(f"{to.repo}: "):
        me = _patiently(api.whoami, say)
        role = me.get("auth", {}).get("accessToken", {}).get("role")
        if role == "read":
            raise AccessError(f"the token of {me['name']} can only read; {_REMEDY}")
        try:
            info = _patiently(lambda: api.repo_info(to.repo), say)
        except RepositoryNotFoundError:
            owners = [me["name"], *(org["name"] for org in me.get("orgs", []))]
            if owner not in owners:
                raise AccessError(
                    f"{to.repo}: {me['name']} may not write there, and the Hub shows no such repository; allowed: one of "
                    f"{one_of(owners)} before the '/'"
                ) from None
            if to.pull_request:
                raise UsageError(f"{to.repo}: there is no such repository to propose a change to") from None
            if make:
                _patiently(lambda: api.create_repo(to.repo, private=to.private, exist_ok=True), say)
            return (
                f"{me['name']} pushes to {to.repo} ({_visibility(to.private)}, {'made now' if make else 'to be made'})"
            )
        if not to.pull_request:
            _patiently(lambda: api.auth_check(to.repo, write=True), say)
    return f"{me['name']} pushes to {to.repo} ({_visibility(bool(info.private))})"


def check_card(text: str, say: Say) -> None:
    """Ask the Hub whether it takes a card's metadata. Raises UsageError where it does not, or HubError."""
    with _in_words("checking the card: "):
        try:
            _patiently(lambda: ModelCard(text).validate(), say)
        except ValueError as error:
            raise UsageError(f"the Hub refuses the metadata of the model card: {error}") from None


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
            from ft_toolkit.inference import write_merged  # torch

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
        api = HfApi()
        message = f"Upload {run.resolve().name} with ft_toolkit {ft_toolkit.__version__}"
        with _in_words(f"{to.repo}: "):
            before = _patiently(lambda: _head(api, to, message)[1], say)
            tagged = _patiently(lambda: _tagged(api, to), say)
            if tagged not in (None, before):
                raise UsageError(f"{to.repo}: the tag {to.tag} belongs to commit {tagged} already; choose another")
            page, commit = _patiently(lambda: _commit(api, to, files, message), say)
            pushed = Pushed(page, commit, commit != before)
            if tagged not in (None, commit):
                raise HubError(
                    f"{to.repo}: pushed as commit {commit}, but the tag {to.tag} stays at {tagged}; push again with another"
                )
            if to.tag is not None and tagged is None:
                _patiently(lambda: api.create_tag(to.repo, tag=str(to.tag), revision=commit, exist_ok=True), say)
    return pushed


def push_finished(loaded: LoadedRecipe, folder: Path, say: Say) -> None:
    """Push a run that is finished on this disk as its recipe says. Raises HubError with the command to do it again."""
    to, merged = destination_of(loaded), loaded.recipe.hub.merged
    options = (" --merged" if merged else "") + ("" if to.private else " --public")
    options += f" --revision {to.revision}" if to.revision is not None else ""
    try:
        pushed = push(folder, to, merged=merged, say=say)
    except FtkError as error:
        raise HubError(
            f"{error}\nthe run is finished in {folder}; push again with: ftk push {folder} {to.repo}{options}"
        ) from None
    assert pushed is not None
    say(conclusion(pushed, to))


def conclusion(pushed: Pushed, to: Destination) -> str:
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


def _patiently(ask: Callable[[], T], say: Say) -> T:
    """Return what the Hub answers, asking again where that may help. Raises what the last try raised."""
    for wait in WAITS:
        try:
            return ask()
        except FAILURES as error:
            if not may_pass(error):
                raise
            say(f"{reason(error)}; trying again in {wait} s")
        time.sleep(wait)
    return ask()


@contextmanager
def _in_words(where: str) -> Iterator[None]:
    """Turn what huggingface_hub raises into AccessError (nothing to be had with this token) or HubError."""
    try:
        yield
    except FAILURES as error:
        refused = isinstance(error, HfHubHTTPError) and error.response.status_code in (401, 403)
        raise (AccessError if refused else HubError)(f"{where}{reason(error)}") from None


def _where(to: Destination) -> str:
    if to.pull_request:
        return ", as a pull request"
    return f", branch {to.revision}" if to.revision is not None else ""


def _visibility(private: bool) -> str:
    return "private" if private else "public"


def _length(content: Path | bytes) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _size(n_bytes: float) -> str:
    for unit in ("B", "kB", "MB"):
        if n_bytes < 1000:
            return f"{n_bytes:.0f} B" if unit == "B" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.1f} GB"

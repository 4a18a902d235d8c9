"""Check before training that the token may push to the repository and that the Hub accepts the model card."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from huggingface_hub import HfApi, ModelCard, constants, get_token
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from ft_toolkit.core.errors import AccessError, HubError, UsageError, one_of
from ft_toolkit.core.hub_client import check_answers
from ft_toolkit.core.hub_errors import FAILURES, explain, is_temporary
from ft_toolkit.core.hub_names import owned_id, revision_name
from ft_toolkit.recipe.load_recipe import LoadedRecipe
from ft_toolkit.recipe.methods import saves_adapter
from ft_toolkit.report.card import planned_card

_REMEDY = "set HF_TOKEN to a token with write access, or log in with: hf auth login"
# Seconds between attempts while the Hub is busy or the connection is broken; huggingface_hub does not retry commits.
RETRY_WAITS = (1, 2, 4)
Say = Callable[[str], None]
T = TypeVar("T")


@dataclass(frozen=True)
class Destination:
    """The repository of a model. `private` applies to a new repository only; `revision` is None for the main branch."""

    repo: str
    private: bool = True
    revision: str | None = None
    pull_request: bool = False
    tag: str | None = None

    @staticmethod
    def of(loaded: LoadedRecipe) -> "Destination":
        """Return the destination in the `hub:` section of a recipe."""
        hub = loaded.recipe.hub
        assert hub.repo is not None, "a recipe that pushes has a repository"
        return Destination(hub.repo, hub.private, hub.revision)

    def check(self) -> None:
        """Raise UsageError for an invalid name or an invalid combination of options."""
        try:
            owned_id(self.repo)
            for name in (self.revision, self.tag):
                if name is not None:
                    revision_name(name)
        except ValueError as error:
            raise UsageError(str(error)) from None
        if self.pull_request and (self.revision is not None or self.tag is not None):
            raise UsageError("--pull-request proposes a change of main and cannot be combined with --revision or --tag")


def check_recipe(loaded: LoadedRecipe, say: Say, *, create: bool = True) -> None:
    """Check that the finished model can be pushed to the repository in the `hub:` section of the recipe.

    With `create`, a missing repository is created, which proves the permission. Raises AccessError, UsageError or HubError.
    """
    hub, model = loaded.recipe.hub, loaded.recipe.model
    if saves_adapter(loaded.recipe.method) and not hub.merged and model.name is not None and Path(model.name).is_dir():
        raise UsageError(
            f"hub.push: the adapter requires the base model in the local folder {model.name}, which is not on the Hub. Push "
            "merged weights with hub.merged=true"
        )
    destination = Destination.of(loaded)
    say(f"hub        {check_access(destination, say, create=create)}")
    check_card(planned_card(loaded), say)


def check_access(destination: Destination, say: Say, *, create: bool = True) -> str:
    """Return a line with user and repository; with `create`, create a missing repository. Raises AccessError or HubError."""
    api, owner = HfApi(), destination.repo.partition("/")[0]
    if constants.HF_HUB_OFFLINE:
        raise AccessError("HF_HUB_OFFLINE is set, so the network is not used and nothing can be pushed; unset it")
    if get_token() is None:
        raise AccessError(f"no token for the Hub found; {_REMEDY}")
    check_answers()
    with explained_errors(f"{destination.repo}: "):
        user = with_retries(api.whoami, say)
        role = user.get("auth", {}).get("accessToken", {}).get("role")
        if role == "read":
            raise AccessError(f"the token of {user['name']} is read-only; {_REMEDY}")
        try:
            info = with_retries(lambda: api.repo_info(destination.repo), say)
        except RepositoryNotFoundError:
            owners = [user["name"], *(org["name"] for org in user.get("orgs", []))]
            if owner not in owners:
                raise AccessError(
                    f"{destination.repo}: repository not found, and {user['name']} cannot create it. Use one of these owners "
                    f"before the '/': {one_of(owners)}"
                ) from None
            if destination.pull_request:
                raise UsageError(f"{destination.repo}: repository not found; a pull request requires one") from None
            if create:
                with_retries(lambda: api.create_repo(destination.repo, private=destination.private, exist_ok=True), say)
            state = f"{_visibility(destination.private)}, {'created now' if create else 'will be created'}"
            return f"{user['name']} pushes to {destination.repo} ({state})"
        if not destination.pull_request:
            with_retries(lambda: api.auth_check(destination.repo, write=True), say)
    return f"{user['name']} pushes to {destination.repo} ({_visibility(bool(info.private))})"


def check_card(text: str, say: Say) -> None:
    """Let the Hub validate the metadata of a model card. Raises UsageError when they are invalid, or HubError."""
    with explained_errors("checking the model card: "):
        try:
            with_retries(lambda: ModelCard(text).validate(), say)
        except ValueError as error:
            raise UsageError(f"the Hub rejected the metadata of the model card: {_card_errors(str(error))}") from None


def _card_errors(response: str) -> str:
    """Return the messages in the Hub's response to an invalid card."""
    try:
        return "; ".join(str(problem["message"]) for problem in json.loads(response)["errors"])
    except (ValueError, KeyError, TypeError):
        return response


def with_retries(request: Callable[[], T], say: Say) -> T:
    """Return the result of a request to the Hub, with retries after temporary errors. Raises the error of the last attempt."""
    for wait in RETRY_WAITS:
        try:
            return request()
        except FAILURES as error:
            if not is_temporary(error):
                raise
            say(f"{explain(error)}; next attempt in {wait} s")
        time.sleep(wait)
    return request()


@contextmanager
def explained_errors(prefix: str) -> Iterator[None]:
    """Replace errors of huggingface_hub by AccessError (the token is refused) or HubError with an explanation."""
    try:
        yield
    except FAILURES as error:
        refused = isinstance(error, HfHubHTTPError) and error.response.status_code in (401, 403)
        raise (AccessError if refused else HubError)(f"{prefix}{explain(error)}") from None


def _visibility(private: bool) -> str:
    return "private" if private else "public"

"""May this token push there, and does the Hub take the card? Asked before training, so that no result waits on the answer."""

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
from ft_toolkit.core.hub_errors import FAILURES, may_pass, reason
from ft_toolkit.core.hub_names import owned_id, revision_name
from ft_toolkit.recipe.load import LoadedRecipe
from ft_toolkit.recipe.methods import saves_adapter
from ft_toolkit.report.card import planned_card

_REMEDY = "set HF_TOKEN to a token with write access, or log in with: hf auth login"
# Seconds between tries when the Hub is busy or the connection breaks; huggingface_hub itself does not retry a commit.
WAITS = (1, 2, 4)
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

    @staticmethod
    def of(loaded: LoadedRecipe) -> "Destination":
        """Return where a recipe wants its model."""
        hub = loaded.recipe.hub
        assert hub.repo is not None, "a recipe that pushes has a repository"
        return Destination(hub.repo, hub.private, hub.revision)

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
    to = Destination.of(loaded)
    say(f"hub        {check_access(to, say, make=make)}")
    check_card(planned_card(loaded), say)


def check_access(to: Destination, say: Say, *, make: bool = True) -> str:
    """Return who pushes where; with `make` the repository is made if it is not there. Raises AccessError or HubError."""
    api, owner = HfApi(), to.repo.partition("/")[0]
    if constants.HF_HUB_OFFLINE:
        raise AccessError("HF_HUB_OFFLINE keeps the network off, so nothing can be pushed; unset it")
    if get_token() is None:
        raise AccessError(f"there is no token for the Hub; {_REMEDY}")
    with in_words(f"{to.repo}: "):
        me = patiently(api.whoami, say)
        role = me.get("auth", {}).get("accessToken", {}).get("role")
        if role == "read":
            raise AccessError(f"the token of {me['name']} can only read; {_REMEDY}")
        try:
            info = patiently(lambda: api.repo_info(to.repo), say)
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
                patiently(lambda: api.create_repo(to.repo, private=to.private, exist_ok=True), say)
            return (
                f"{me['name']} pushes to {to.repo} ({_visibility(to.private)}, {'made now' if make else 'to be made'})"
            )
        if not to.pull_request:
            patiently(lambda: api.auth_check(to.repo, write=True), say)
    return f"{me['name']} pushes to {to.repo} ({_visibility(bool(info.private))})"


def check_card(text: str, say: Say) -> None:
    """Ask the Hub whether it takes a card's metadata. Raises UsageError where it does not, or HubError."""
    with in_words("checking the card: "):
        try:
            patiently(lambda: ModelCard(text).validate(), say)
        except ValueError as error:
            raise UsageError(f"the Hub refuses the metadata of the model card: {_card_errors(str(error))}") from None


def _card_errors(answer: str) -> str:
    """Return the messages in the Hub's answer to a wrong card."""
    try:
        return "; ".join(str(one["message"]) for one in json.loads(answer)["errors"])
    except (ValueError, KeyError, TypeError):
        return answer


def patiently(ask: Callable[[], T], say: Say) -> T:
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
def in_words(where: str) -> Iterator[None]:
    """Turn what huggingface_hub raises into AccessError (nothing to be had with this token) or HubError."""
    try:
        yield
    except FAILURES as error:
        refused = isinstance(error, HfHubHTTPError) and error.response.status_code in (401, 403)
        raise (AccessError if refused else HubError)(f"{where}{reason(error)}") from None


def _visibility(private: bool) -> str:
    return "private" if private else "public"

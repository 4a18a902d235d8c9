"""Why the Hub did not do what was asked, in words, and whether asking again may help."""

from collections.abc import Iterator

from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

# The error of httpx or httpx2, whichever huggingface_hub talks with.
_HTTP_ERROR: type[Exception] = HfHubHTTPError.__mro__[1]
# Everything that asking the Hub may raise; Xet's client raises RuntimeError, the checks of names and metadata ValueError.
FAILURES = (_HTTP_ERROR, HfHubHTTPError, OSError, RuntimeError, ValueError)
TOKEN_REMEDY = "set HF_TOKEN to a valid token, or log in with: hf auth login"
_TOO_MANY, _SERVER_ERROR = 429, 500


def reason(error: BaseException) -> str:
    """Return what is behind an error of huggingface_hub, as the end of a sentence, and what to do about it."""
    for one in _causes(error):
        if (said := _known(one)) is not None:
            return said
    return _first_line(error)


def may_pass(error: Exception) -> bool:
    """Say whether the same request may succeed later: the Hub is busy or down, or the connection broke."""
    for one in _causes(error):
        if isinstance(one, (OfflineModeIsEnabled, LocalTokenNotFoundError)):
            return False
        if isinstance(one, HfHubHTTPError):
            status = one.response.status_code
            return status == _TOO_MANY or status >= _SERVER_ERROR
        if isinstance(one, (_HTTP_ERROR, ConnectionError)):
            return True
    return isinstance(error, RuntimeError)  # Xet's client names no kind


def _known(error: BaseException) -> str | None:
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE keeps the network off; unset it"
    if isinstance(error, LocalTokenNotFoundError):
        return f"there is no token; {TOKEN_REMEDY}"
    if isinstance(error, GatedRepoError):
        return "its owner restricts access; ask for it on the model's page, and use a token of that account"
    if isinstance(error, RevisionNotFoundError):
        return "there is no such branch, tag or commit"
    if isinstance(error, RepositoryNotFoundError):
        return "there is no such repository, or it is private and the token, if there is one, may not see it"
    if isinstance(error, HfHubHTTPError):
        return _by_status(error)
    if isinstance(error, HFValidationError):
        return "that is not the form of a Hub id (owner/name)"
    if isinstance(error, _HTTP_ERROR):
        return f"the Hub cannot be reached ({_first_line(error)})"
    return None


def _by_status(error: HfHubHTTPError) -> str:
    status, message = error.response.status_code, error.server_message or _first_line(error)
    if status == 401:
        return f"the Hub does not know the token (401); {TOKEN_REMEDY}"
    if status == 403:
        return f"the token may not do that (403: {message.rstrip('.')})"
    if status == _TOO_MANY:
        return "too many requests (429)"
    if status >= _SERVER_ERROR:
        return f"the Hub is down or overloaded (it answers {status})"
    return f"the Hub answers {status}: {message}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that led to it, the first one last."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__

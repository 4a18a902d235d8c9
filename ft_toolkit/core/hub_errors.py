"""Explain errors of huggingface_hub, and decide which requests to retry."""

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

# The base error of httpx or httpx2, depending on which one huggingface_hub uses.
_HTTP_ERROR: type[Exception] = HfHubHTTPError.__mro__[1]
# All errors of a request to the Hub. The Xet client raises RuntimeError; checks of names and metadata raise ValueError.
FAILURES = (_HTTP_ERROR, HfHubHTTPError, OSError, RuntimeError, ValueError)
TOKEN_REMEDY = "set HF_TOKEN to a valid token, or log in with: hf auth login"
_TOO_MANY, _SERVER_ERROR = 429, 500


def explain(error: BaseException) -> str:
    """Return the cause of an error of huggingface_hub and the remedy, without a final period."""
    explanations = (_explain_known(cause) for cause in _causes(error))
    return next((text for text in explanations if text is not None), _first_line(error))


def is_temporary(error: Exception) -> bool:
    """Return whether the same request may succeed later: the Hub is busy or down, or the connection broke."""
    for cause in _causes(error):
        if isinstance(cause, (OfflineModeIsEnabled, LocalTokenNotFoundError)):
            return False
        if isinstance(cause, HfHubHTTPError):
            status = cause.response.status_code
            return status == _TOO_MANY or status >= _SERVER_ERROR
        if isinstance(cause, (_HTTP_ERROR, ConnectionError)):
            return True
    return isinstance(error, RuntimeError)  # the Xet client does not tell the kinds of errors apart


def _explain_known(error: BaseException) -> str | None:
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set, so the network is not used; unset it"
    if isinstance(error, LocalTokenNotFoundError):
        return f"no token found; {TOKEN_REMEDY}"
    if isinstance(error, GatedRepoError):
        return "access is restricted by the owner; request access on the page of the model, and use a token of that account"
    if isinstance(error, RevisionNotFoundError):
        return "branch, tag or commit not found"
    if isinstance(error, RepositoryNotFoundError):
        return "repository not found, or it is private and the token has no access"
    if isinstance(error, HfHubHTTPError):
        return _by_status(error)
    if isinstance(error, HFValidationError):
        return "not a valid Hub id (owner/name)"
    if isinstance(error, _HTTP_ERROR):
        return f"the Hub cannot be reached ({_first_line(error)})"
    return None


def _by_status(error: HfHubHTTPError) -> str:
    status, message = error.response.status_code, error.server_message or _first_line(error)
    if status == 401:
        return f"the Hub rejected the token (401); {TOKEN_REMEDY}"
    if status == 403:
        return f"the token lacks the permission (403: {message.rstrip('.')})"
    if status == _TOO_MANY:
        return "too many requests (429)"
    if status >= _SERVER_ERROR:
        return f"the Hub is down or overloaded (status {status})"
    return f"the Hub returned status {status}: {message}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, its cause, the cause of the cause, and so on."""
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__ or current.__context__


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__

"""The options of the server: models by name, address, token and limits."""

import ipaddress
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ft_toolkit.core.errors import UsageError

TOKEN_VARIABLE = "FTK_SERVE_TOKEN"
MIN_TOKEN_CHARACTERS = 16
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_TOKEN = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True)
class Limits:
    """Limits of the server. A request beyond a limit is refused with status 408, 413, 422, 429, 503 or 504.

    body_bytes      size of the body of a request
    rows            rows of a request
    characters      characters of a text
    rate            requests per second and client address; None for no limit
    queue           rows of a model that wait
    connections     open connections
    read_seconds    time to receive a request
    seconds         time from a complete request to its answer
    stop_seconds    time for open requests after SIGTERM
    """

    body_bytes: int = 1_048_576
    rows: int = 256
    characters: int = 100_000
    rate: float | None = None
    queue: int = 1024
    connections: int = 256
    read_seconds: float = 10
    seconds: float = 60
    stop_seconds: float = 30


@dataclass(frozen=True)
class ModelSource:
    """A model to serve: its name in the API, and a run folder, model folder, export, or model on the Hub."""

    name: str
    path: str


@dataclass(frozen=True)
class Options:
    """Everything that `ftk serve` was asked for. `token` is None where none is required."""

    models: tuple[ModelSource, ...]
    host: str
    port: int
    limits: Limits
    token: str | None = None

    def __repr__(self) -> str:
        """Leave out the token, so that no message can contain it."""
        return f"Options(models={self.models}, host={self.host!r}, port={self.port}, limits={self.limits})"


def parse_models(words: Sequence[str]) -> tuple[ModelSource, ...]:
    """Return the models of words such as `sst2=runs/demo` or `runs/demo`, which gets the name of the folder.

    Raises UsageError for an invalid name and for two models with the same name.
    """
    sources: list[ModelSource] = []
    for word in words:
        name, equals, path = word.partition("=")
        if not equals or Path(word).exists():
            name, path = Path(word.partition("@")[0]).name or Path(word).resolve().name, word
        if not path:
            raise UsageError(f"{word}: the folder of the model is missing; write NAME=FOLDER")
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"{word}: '{name}' cannot be the name of a model; allowed: up to 64 letters, digits, '-', '_' and '.'. "
                f"Choose one: NAME={path}"
            )
        if any(source.name == name for source in sources):
            raise UsageError(f"two models have the name '{name}'; choose names: NAME={path}")
        sources.append(ModelSource(name, path))
    return tuple(sources)


def read_token(environ: Mapping[str, str] = os.environ) -> str | None:
    """Return the token of FTK_SERVE_TOKEN, or None. Raises UsageError for a token that is short or not printable ASCII.

    The message does not contain the token.
    """
    token = environ.get(TOKEN_VARIABLE)
    if token is None:
        return None
    if len(token) < MIN_TOKEN_CHARACTERS or not _TOKEN.fullmatch(token):
        raise UsageError(
            f"{TOKEN_VARIABLE} must have at least {MIN_TOKEN_CHARACTERS} printable ASCII characters without spaces; found "
            f"{len(token)} characters. To make one: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )
    return token


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_address(host: str, token: str | None) -> None:
    """Raise UsageError for an address that other machines can reach, without a token.

    It is refused rather than warned about: anybody in the network could use the model and the processor, and nobody reads the
    warnings of a service.
    """
    if token is None and not is_loopback(host):
        raise UsageError(
            f"--host {host}: other machines can reach this address, which requires a token. Set {TOKEN_VARIABLE} in the "
            "environment of the server, or use --host 127.0.0.1"
        )

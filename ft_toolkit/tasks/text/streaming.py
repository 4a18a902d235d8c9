"""Pass a generated text on while it is generated, piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

# The decoder writes this for the first bytes of a character whose last bytes are not generated yet.
INCOMPLETE = "\ufffd"


class GrowingText:
    """Passes the new pieces of a text on while it grows, up to the first of `stop_strings`.

    The joined pieces are the beginning of the text. Where later tokens change earlier characters, the rest is not passed on.
    `is_stopped` becomes true when `on_text` returns False.
    """

    def __init__(self, on_text: Callable[[str], bool], stop_strings: Sequence[str] = ()) -> None:
        self._on_text, self._stop_strings, self._passed = on_text, stop_strings, ""
        self.is_stopped = False

    def show(self, text: str) -> bool:
        """Pass on the new part of the text, without an end that may still change. Return whether to continue."""
        stopped = before_stop(text, self._stop_strings)
        text = stopped if stopped != text else _without_open_end(text, self._stop_strings)
        if text.startswith(self._passed) and text != self._passed:
            piece, self._passed = text[len(self._passed) :], text
            self.is_stopped = self.is_stopped or not self._on_text(piece)
        return not self.is_stopped


def before_stop(text: str, stop_strings: Sequence[str]) -> str:
    """Return the text up to the first stop string."""
    return text[: min((at for stop in stop_strings if (at := text.find(stop)) >= 0), default=len(text))]


def _without_open_end(text: str, stop_strings: Sequence[str]) -> str:
    """Return the text without an incomplete character and without an end that may become a stop string."""
    text = text.rstrip(INCOMPLETE)
    starts = [stop[:size] for stop in stop_strings for size in range(1, len(stop))]
    longest = max((len(start) for start in starts if text.endswith(start)), default=0)
    return text[: len(text) - longest]


class PieceStreamer:
    """A streamer for transformers' `generate`, for one text without special tokens and surrounding white space."""

    def __init__(self, tokenizer: Any, on_text: Callable[[str], bool], hidden_token: int | None) -> None:
        """`hidden_token` is left out of the text, such as the token of a language."""
        self._tokenizer, self._hidden = tokenizer, hidden_token
        self._growing = GrowingText(on_text)
        self._tokens: list[int] = []
        self._has_prompt = False

    def put(self, tokens: torch.Tensor) -> None:
        """Take the next tokens. The first call has the prompt, or the start token of a decoder."""
        if not self._has_prompt:
            self._has_prompt = True
            return
        self._tokens += [token for token in tokens.flatten().tolist() if token != self._hidden]
        self._growing.show(self._tokenizer.decode(self._tokens, skip_special_tokens=True).strip())

    def end(self) -> None:
        """Do nothing: every complete character has been passed on."""

    def criterion(self, tokens: torch.Tensor, scores: Any, **options: Any) -> torch.Tensor:
        """Return whether each text is finished, as a stopping criterion of `generate`."""
        return tokens.new_full((len(tokens),), self._growing.is_stopped).bool()

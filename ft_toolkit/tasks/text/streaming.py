"""Pass a generated text on while it is generated, piece by piece."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

# The decoder writes this for the first bytes of a character whose last bytes are not generated yet.
INCOMPLETE = "\ufffd"


class GrowingText:
    """Passes the new pieces of a text on while it grows.

    The joined pieces are the beginning of the text. Where later tokens change earlier characters, the rest is not passed on.
    `is_stopped` becomes true when `on_text` returns False.
    """

    def __init__(self, on_text: Callable[[str], bool]) -> None:
        self._on_text, self._passed = on_text, ""
        self.is_stopped = False

    def show(self, text: str) -> bool:
        """Pass on the new part of the text. Return whether to continue."""
        if text.startswith(self._passed) and text != self._passed and not text.endswith(INCOMPLETE):
            piece, self._passed = text[len(self._passed) :], text
            self.is_stopped = self.is_stopped or not self._on_text(piece)
        return not self.is_stopped


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

"""The text of a dialogue for a decoder: the chat template of its tokenizer, or a template of ours.

A tokenizer without a chat template gets OWN_TEMPLATE, which is saved with the model. Inference and transformers alone
(`tokenizer.apply_chat_template`) therefore use the format of the training.

    User: Where is my parcel?
    Assistant: At the depot.<end>
    User: Thank you.
    Assistant:

Special tokens in the text of a turn are read as plain text, so that a turn cannot end itself and open a turn of the other side.
In our format, the names of the sides are plain text. The lines of a turn after its first one are therefore indented, except in
answers, so that a line `Assistant: ...` in a question does not look like an answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ft_toolkit.core.errors import ModelError

OWN_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] | capitalize }}: "
    "{% if message['role'] == 'assistant' %}{{ message['content'] }}{{ eos_token }}"
    "{% else %}{{ message['content'] | replace('\\n', '\\n  ') }}{% endif %}{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
# The roles that chat templates know.
ASSISTANT, USER, SYSTEM = "assistant", "user", "system"
Message = dict[str, str]
# The keys of a turn in common files: this toolkit, OpenAI and transformers, ShareGPT.
_TURN_KEYS = (("speaker", "text"), ("role", "content"), ("from", "value"))


@dataclass(frozen=True)
class Exchange:
    """The tokens before an answer, and the tokens of the answer with its end token."""

    before: list[int]
    answer: list[int]


def turn_keys(turn: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the keys of speaker and text of a turn in a file; None if it has no known keys."""
    return next((keys for keys in _TURN_KEYS if set(keys) <= set(turn)), None)


def set_template(tokenizer: Any) -> None:
    """Give OWN_TEMPLATE to a tokenizer without a chat template."""
    if not tokenizer.chat_template:
        tokenizer.chat_template = OWN_TEMPLATE


def own_format(messages: Sequence[Message], end: str, *, opens_answer: bool) -> str:
    """Return the text of OWN_TEMPLATE without Jinja, for exported models. `end` is the end-of-text token."""
    text = ""
    for message in messages:
        is_answer = message["role"] == ASSISTANT
        content = f"{message['content']}{end}" if is_answer else message["content"].replace("\n", "\n  ")
        text += f"{message['role'].capitalize()}: {content}\n"
    return f"{text}Assistant:" if opens_answer else text


def special_strings(tokenizer: Any) -> list[str]:
    """Return the texts that the tokenizer reads as special tokens, the longest first."""
    added = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    return sorted({*added, *tokenizer.all_special_tokens}, key=lambda text: (-len(text), text))


def plain_text(text: str, special: Sequence[str]) -> str:
    """Return a text in which no special token is read: a space follows the first character of each, as in `< /s>`."""
    for token in special:
        text = text.replace(token, f"{token[0]} {token[1:]}")
    return text


def render(messages: Sequence[Message], tokenizer: Any, *, opens_answer: bool) -> str:
    """Return the text of a dialogue; with `opens_answer`, up to the first character of the next answer.

    Raises ModelError for a template that refuses the messages, such as two turns of the user in a row.
    """
    try:
        text = tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=opens_answer)
    except _template_errors() as error:
        raise ModelError(f"the chat template of the checkpoint refuses a dialogue: {error}") from None
    return str(text)


def _template_errors() -> tuple[type[Exception], ...]:
    """Return Jinja's errors; none where Jinja is not installed, as beside an exported model."""
    try:
        from jinja2.exceptions import TemplateError
    except ImportError:
        return ()
    return (TemplateError,)


def find_end_token(tokenizer: Any) -> int:
    """Return the token that ends an answer: the first special token after it in the template, else the end-of-text token."""
    messages = [{"role": USER, "content": "a"}, {"role": ASSISTANT, "content": "b"}]
    (exchange,) = split_answers(messages, tokenizer, None)
    special = set(tokenizer.all_special_ids)
    return next((token for token in exchange.answer if token in special), int(tokenizer.eos_token_id))


def split_answers(messages: Sequence[Message], tokenizer: Any, end_id: int | None) -> list[Exchange]:
    """Return the tokens of a dialogue that ends with an answer, split at its answers; without text after the last end token.

    Without `end_id`, an answer has all tokens up to the next turn. Raises ModelError for a template that changes earlier
    turns when turns are added.
    """
    exchanges, done = [], ""
    for number, message in enumerate(messages):
        if message["role"] != ASSISTANT:
            continue
        opened = render(messages[:number], tokenizer, opens_answer=True)
        closed = render(messages[: number + 1], tokenizer, opens_answer=False)
        if not (opened.startswith(done) and closed.startswith(opened)):
            raise ModelError(
                "the chat template of the checkpoint does not write turns one after the other, so the tokens of an answer "
                "cannot be found; use a checkpoint with another template"
            )
        answer = tokens_of(closed[len(opened) :], tokenizer)
        end = answer.index(end_id) + 1 if end_id in answer else len(answer)
        rest = tokenizer.decode(answer[end:])
        exchanges.append(Exchange(tokens_of(opened[len(done) :], tokenizer), answer[:end]))
        done = closed[: len(closed) - len(rest)] if closed.endswith(rest) else closed
    return exchanges


def tokens_of(text: str, tokenizer: Any) -> list[int]:
    """Return the tokens of a text that has its special tokens."""
    return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

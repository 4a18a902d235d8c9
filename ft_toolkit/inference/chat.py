"""A chat in the terminal with a finished dialogue model."""

from collections.abc import Callable

from ft_toolkit.core.errors import UsageError
from ft_toolkit.core.standard_input import standard_input
from ft_toolkit.inference.open_finished import open_finished

RESET, QUIT = "/reset", "/quit"


Say = Callable[[str], None]


def chat(name: str, say: Say, base: str | None = None) -> None:
    """Read turns from standard input, and pass the reply to each to `say`, in pieces.

    Raises UsageError for a model of a task without a chat.
    """
    loaded = open_finished(name, base)
    make_row = loaded.task.chat_row
    if make_row is None:
        raise UsageError(f"{name}: a model of {loaded.task.name} cannot chat; use ftk predict")
    lines = standard_input()
    if lines is None:
        raise UsageError("ftk chat reads the turns from standard input, which is closed")
    is_terminal = lines.isatty()
    if is_terminal:
        say(f"{RESET} begins a new dialogue, {QUIT} ends the chat\n")
    history: list[str] = []
    while True:
        if is_terminal:
            say("> ")
        line = lines.readline()
        text = line.strip()
        if not line or text == QUIT:
            return
        if text == RESET:
            history = []
            say("(new dialogue)\n")
        elif text.startswith("/"):
            say(f"unknown command {text.split()[0]}; allowed: {RESET}, {QUIT}\n")
        elif text:
            row = loaded.read(make_row(loaded.schema, [*history, text])).rows[0]
            pieces: list[str] = []
            prediction = loaded.predict_row(row, _shower(pieces, say))
            reply = loaded.task.answer(prediction, loaded.schema)
            say("\n" if pieces else f"{reply or '(empty reply)'}\n")  # beam search has no pieces
            history += [text, reply] if reply else []


def _shower(pieces: list[str], say: Say) -> Callable[[str], bool]:
    """Return a function that says the pieces of a reply, without white space before the first word, and keeps them."""

    def show(piece: str) -> bool:
        text = piece if pieces else piece.lstrip()
        if text:
            pieces.append(text)
            say(text)
        return True

    return show

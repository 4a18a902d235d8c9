"""`ftk chat`: talk to a dialogue model in the terminal."""

from ft_toolkit.cli.arguments import BaseOption, ModelArgument
from ft_toolkit.cli.libraries import load_libraries
from ft_toolkit.cli.verb import Verb
from ft_toolkit.core.run_folder import is_local


def chat(model: ModelArgument, base: BaseOption = None) -> None:
    """Talk to a finished dialogue model.

    Each line of standard input is a turn; the reply is printed while it is written. /reset begins a new dialogue, /quit or the
    end of the input ends the command.

    \b
    Examples:
      ftk chat runs/support_dialogues_gpt2_from_scratch
      ftk chat exports/support
    """
    from ft_toolkit.inference import chat as conversation
    from ft_toolkit.runtime.exported_model import is_exported_graph

    is_local(model)  # raises UsageError for a name that is neither a folder nor a Hub id
    if not is_exported_graph(model):
        load_libraries()
    conversation.chat(model, lambda text: print(text, end="", flush=True), base)


VERB = Verb(order=21, command=chat)

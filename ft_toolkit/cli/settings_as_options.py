"""Verbs with settings: `--learning_rate 1e-4` gets a message with the right form, training.learning_rate=1e-4."""

from typing import Any

from typer.core import TyperCommand

from ft_toolkit.core.errors import UsageError, nearest


class VerbWithSettings(TyperCommand):
    """A verb that takes `section.key=value` words."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words of the command line. Raises UsageError for a setting that is written as an option."""
        if not ctx.resilient_parsing:  # as in shell completion
            options = {name for parameter in self.params for name in (*parameter.opts, *parameter.secondary_opts)}
            _check_options(self.name or "", args, options | set(ctx.help_option_names))
        return super().parse_args(ctx, args)


def _check_options(verb: str, words: list[str], options: set[str]) -> None:
    """Raise UsageError for the first word with dashes that is not an option of the verb."""
    for position, word in enumerate(words):
        if word == "--":
            return
        option, equals, value = word.partition("=")
        if not _is_unknown_option(option, options):
            continue
        following = words[position + 1] if position + 1 < len(words) else ""
        if not equals and not following.startswith("-") and "=" not in following:
            value = following
        remedy = _remedy(option, value or "VALUE", options) or f"; 'ftk {verb} --help' lists the options"
        raise UsageError(f"ftk {verb} has no option {option}{remedy}")


def _is_unknown_option(option: str, options: set[str]) -> bool:
    """Return whether a word looks like an option, but is neither one of the verb nor a group of short ones, such as -vq."""
    if option in options or not option.startswith("-"):
        return False
    letters = option.removeprefix("-")
    is_number = not letters.removeprefix("-")[:1].isalpha()
    return not is_number and not all(f"-{letter}" in options for letter in letters)


def _remedy(option: str, value: str, options: set[str]) -> str:
    """Return the part of the message that says what to write instead, or an empty string."""
    from ft_toolkit.recipe.suggestions import option_for, setting_names, settings_like, settings_named
    from ft_toolkit.tasks import find_tasks

    keys = setting_names(find_tasks().values())
    replacement = option_for(option)
    if replacement is not None and replacement.split()[0] in options:
        return f"; use {replacement}"
    near_option = nearest(option, options)
    settings = settings_named(option, keys) or ([] if near_option else settings_like(option, keys))
    if settings:
        return f"; write the setting without dashes: {' or '.join(f'{setting}={value}' for setting in settings)}"
    return f". Did you mean {near_option}?" if near_option else ""

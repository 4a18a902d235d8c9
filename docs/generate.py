"""Write the reference pages from the code: the commands with their help, and the settings with the comments of their fields.

The pages are built with the site and not committed: docs/reference/commands.md and docs/reference/settings.md.
"""

import inspect
import types
import typing
from pathlib import Path

import typer
import yaml
from pydantic import BaseModel

from ft_toolkit.cli.app import app
from ft_toolkit.recipe.methods import METHODS
from ft_toolkit.recipe.sections import Recipe
from ft_toolkit.tasks import find_tasks

_EXIT_CODES = (
    "The exit codes are 0 (done), 1 (failed while running), 2 (wrong command, recipe or data), 3 (a quality gate failed), "
    "130 (interrupted) and 143 (terminated); after the last two a checkpoint is saved."
)


def write_reference(folder: Path) -> None:
    """Write commands.md and settings.md into `folder`."""
    folder.mkdir(exist_ok=True)
    (folder / "commands.md").write_text(_commands(), encoding="utf-8")
    (folder / "settings.md").write_text(_settings(), encoding="utf-8")


def _commands() -> str:
    """Return a page with the help of every command."""
    group = typer.main.get_command(app)
    context = typer.Context(group, info_name="ftk")
    lines = ["# Commands", "", _EXIT_CODES]
    for name in group.list_commands(context):  # type: ignore[attr-defined]
        command = group.get_command(context, name)  # type: ignore[attr-defined]
        lines += ["", f"## ftk {name}", "", *_help(command, f"ftk {name}")]
    return "\n".join(lines) + "\n"


def _help(command: typing.Any, title: str) -> list[str]:
    """Return a command's description, arguments and options; for a group, also the help of its subcommands."""
    context = typer.Context(command, info_name=title)
    lines = [inspect.cleandoc(command.help or ""), "", "```text", command.get_usage(context), "```"]
    for parameter in command.params:
        if getattr(parameter, "hidden", False):
            continue
        record = parameter.get_help_record(context)
        if record is not None:
            lines += ["", f"`{record[0].strip()}`", f": {record[1] or ''}".rstrip()]
    if command.epilog:
        lines += ["", "```text", inspect.cleandoc(command.epilog), "```"]
    for name, inner in getattr(command, "commands", {}).items():
        lines += ["", f"### {title} {name}", "", *_help(inner, f"{title} {name}")]
    return lines


def _settings() -> str:
    """Return a page with every setting of a recipe: its type, its default, and the comment above it in the source."""
    lines = ["# Settings", "", "Every setting of a recipe. On the command line, write `section.key=value`."]
    kinds: dict[str, type[BaseModel]] = {}
    for name, field in Recipe.model_fields.items():
        if name == "task":
            kinds |= {f"task: {task.name}": task.settings for task in find_tasks().values()}
        elif name == "method":
            kinds |= {f"method: {method}": kind for method, kind in METHODS.items()}
        else:
            kinds[name] = next(
                kind for kind in _members(field.annotation) if isinstance(kind, type) and issubclass(kind, BaseModel)
            )
    for title, kind in kinds.items():
        section = title.partition(":")[0]
        lines += ["", f"## {title}", "", inspect.cleandoc(kind.__doc__ or "")]
        for key, field in kind.model_fields.items():
            if key == "name" and section in ("task", "method"):
                continue
            default = (
                "required"
                if field.is_required()
                else f"default `{_yaml(field.get_default(call_default_factory=True))}`"
            )
            lines += ["", f"`{section}.{key}` ({_type_name(field.annotation)}; {default})"]
            lines += [f": {_comment(kind, key)}"]
    return "\n".join(lines) + "\n"


def _yaml(value: typing.Any) -> str:
    """Return a default as it is written in a recipe."""
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("\n...\n").strip()


def _members(annotation: typing.Any) -> tuple[typing.Any, ...]:
    is_union = isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union
    return typing.get_args(annotation) if is_union else (annotation,)


def _type_name(annotation: typing.Any) -> str:
    """Return a type as a reader of YAML would write it."""
    if typing.get_origin(annotation) is typing.Literal:
        return " \\| ".join(str(value) for value in typing.get_args(annotation))
    if typing.get_origin(annotation) is typing.Annotated:
        return _type_name(typing.get_args(annotation)[0])
    members = _members(annotation)
    if len(members) > 1:
        return " \\| ".join(_type_name(member) for member in members)
    if annotation is type(None):
        return "null"
    if typing.get_origin(annotation) is not None:
        inner = ", ".join(_type_name(argument) for argument in typing.get_args(annotation))
        return f"{typing.get_origin(annotation).__name__} of {inner}"
    return getattr(annotation, "__name__", str(annotation))


def _comment(kind: type[BaseModel], key: str) -> str:
    """Return the comment above a field, in its class or in the class that it inherits the field from."""
    for owner in kind.__mro__:
        if key in getattr(owner, "__annotations__", {}):
            return _comments(owner).get(key, "")
    return ""


def _comments(kind: type) -> dict[str, str]:
    """Return the comment above each field of a class; fields on consecutive lines share the comment above the first."""
    comments: dict[str, str] = {}
    comment: list[str] = []
    after_field = False
    for line in inspect.getsource(kind).splitlines():
        text = line.strip()
        name = text.partition(":")[0]
        if text.startswith("#"):
            comment = [*([] if after_field else comment), text.lstrip("# ")]
        elif name in kind.__annotations__ and line.startswith(f"    {name}"):
            comments[name] = " ".join(comment)
        else:
            comment = []
        after_field = name in comments
    return comments

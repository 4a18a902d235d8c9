"""The types of requests and responses of a task, for validation and for OpenAPI."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, create_model

from ft_toolkit.serve.options import Limits
from ft_toolkit.serve.served_model import ServedModel
from ft_toolkit.tasks.base import Column

# Problems that an error message lists.
_MAX_PROBLEMS = 5


class Body(BaseModel):
    """Base class of bodies: no other keys, no conversion of values."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ErrorBody(Body):
    """The body of every error. `error` says what is wrong and where."""

    error: str


class ModelFacts(Body):
    """A model: its task, the version of its files, its labels, and the columns of a row."""

    name: str
    version: str
    task: str
    labels: list[str]
    max_tokens: int
    can_stream: bool
    columns: dict[str, dict[str, Any]]
    display: dict[str, Any]


@dataclass(frozen=True)
class Bodies:
    """The types of a model's bodies: many rows, one row (for a streamed text), and predictions."""

    request: type[BaseModel]
    single: type[BaseModel]
    response: type[BaseModel]


def make_bodies(name: str, served: ServedModel, limits: Limits) -> Bodies:
    """Return the types for a model. Their names in OpenAPI begin with the name of the model."""
    text = Annotated[str, Field(max_length=limits.characters)]
    fields: dict[str, Any] = {}
    for number, (column, facts) in enumerate(served.input_columns.items()):
        kind: Any = list[text] if facts.is_list else text
        default = ... if facts.required else None
        # a column may have any name, also one that pydantic uses itself
        fields[f"column_{number}"] = (
            kind if facts.required else kind | None,
            Field(default, alias=column, description=facts.meaning),
        )
    row = create_model(f"{name}_row", __base__=Body, **fields)
    rows: Any = Annotated[list[row], Field(min_length=1, max_length=limits.rows)]  # type: ignore[valid-type]
    request = create_model(f"{name}_request", __base__=Body, rows=(rows, ...))
    response = create_model(
        f"{name}_response",
        __base__=Body,
        model=(str, ...),
        version=(str, Field(..., description="The version of the model's files")),
        predictions=(list[served.form.keys], ...),  # type: ignore[name-defined]
        notes=(list[str], Field(..., description="Remarks on how the rows were read")),
    )
    return Bodies(request, create_model(f"{name}_single", __base__=Body, row=(row, ...)), response)


def plain_row(row: BaseModel) -> dict[str, Any]:
    """Return the columns of a validated row, without those that are not given."""
    return row.model_dump(by_alias=True, exclude_none=True)


def describe_model(name: str, served: ServedModel) -> ModelFacts:
    """Return the facts of a model for clients and for the page."""
    model, form = served.model, served.form
    return ModelFacts(
        name=name,
        version=served.version,
        task=model.task.name,
        labels=list(model.task.labels(model.schema)),
        max_tokens=model.max_length,
        can_stream=model.task.stream is not None,
        columns={column: _describe_column(facts) for column, facts in served.input_columns.items()},
        display={name: value for name, value in asdict(form).items() if name != "keys"},
    )


def _describe_column(column: Column) -> dict[str, Any]:
    kind = "list" if column.is_list else "text"
    return {"meaning": column.meaning, "required": column.required, "kind": kind, "example": column.example}


def describe_problems(errors: Sequence[Mapping[str, Any]]) -> str:
    """Return a message for the errors of pydantic, such as "rows[0].text: Field required", without the values."""
    problems = [f"{_place(error['loc'])}: {error['msg']}" for error in errors[:_MAX_PROBLEMS]]
    if len(errors) > _MAX_PROBLEMS:
        problems.append(f"and {len(errors) - _MAX_PROBLEMS} more problems")
    return "; ".join(problems)


def _place(parts: Sequence[str | int]) -> str:
    names = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts if part != "body"]
    return "".join(names).removeprefix(".") or "body"

"""The settings of `data.reading`: how to read data files whose content and name do not say enough."""

from typing import Annotated

from pydantic import AfterValidator, Field

from ft_toolkit.recipe.schema import Name, PositiveInt, Section


def _one_character(delimiter: str) -> str:
    delimiter = {"tab": "\t", "\\t": "\t"}.get(delimiter, delimiter)
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise ValueError(f"found {delimiter!r}; must be one character, such as ';' or 'tab'; '|' needs quotes in YAML")
    return delimiter


class Reading(Section):
    """How to read data files. Without a value, content and name of a file decide."""

    # Format of the files, such as csv or txt.
    format: Name | None = None
    # Text encoding, such as cp1251.
    encoding: Name | None = None
    # Character between two columns of a csv file; `tab` for a tab.
    delimiter: Annotated[str, AfterValidator(_one_character)] | None = None
    # Whether quotation marks around a field of a csv or tsv file are removed.
    quotes: bool | None = None
    # Column names of a csv file without a header line, in order.
    column_names: Annotated[list[Name], Field(min_length=1)] | None = None
    # Columns of a CoNLL file, counted from 1: the words, and their tags.
    token_column: PositiveInt | None = None
    tag_column: PositiveInt | None = None
    # Sheet of an Excel file.
    sheet: Name | None = None
    # Names of labels that are integers, in order from 0, such as [O, B-PER, I-PER].
    label_names: Annotated[list[Name], Field(min_length=1)] | None = None

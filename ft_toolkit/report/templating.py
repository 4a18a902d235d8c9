"""Jinja templates of the report pages and the model card."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from ft_toolkit.report.numbers import count, interval, number, seconds
from ft_toolkit.report.wording import INTERVAL_METHOD, plain_name, training_verb
from ft_toolkit.tasks.display.wrong_examples import shorten

# A recipe with all settings has 3,000 characters.
_LONGEST_TEXT = 20_000
_FOLDERS = [Path(__file__).parent / "templates", Path(__file__).parent / "sections"]


def load_template(name: str, *, autoescape: bool, **filters: Callable[[Any], str]) -> jinja2.Template:
    """Return a template of `templates/` or `sections/`. A name that is not given to `render` raises UndefinedError."""
    environment = _environment(autoescape)
    environment.filters.update(filters)
    return environment.get_template(name)


def _shorten(value: Any) -> Any:
    """Return a value of a page without its end if it is a text that would fill the page. Finished HTML stays complete."""
    return shorten(value, _LONGEST_TEXT) if type(value) is str else value


@cache
def _environment(autoescape: bool) -> jinja2.Environment:
    """Return the environment; it keeps compiled templates, which take half a second for page and card."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDERS),
        autoescape=autoescape,
        undefined=jinja2.StrictUndefined,
        finalize=_shorten if autoescape else None,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["interval_method"] = INTERVAL_METHOD
    environment.filters.update(
        number=number, interval=interval, count=count, seconds=seconds, plain=plain_name, verb=training_verb
    )
    return environment

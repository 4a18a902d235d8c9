"""Train a decoder without a cache of its keys and values.

Only generation reads the cache. The classes of transformers fill it in training too, and copy all keys and values into it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def without_cache(model: Any) -> Iterator[None]:
    """Inside the context, the model and its parts fill no cache."""
    configs = {id(part.config): part.config for part in model.modules() if getattr(part, "config", None) is not None}
    changed = [config for config in configs.values() if getattr(config, "use_cache", False) is True]
    for config in changed:
        config.use_cache = False
    try:
        yield
    finally:
        for config in changed:
            config.use_cache = True

"""The number of cases, and a mode that counts tracebacks instead of stopping at the first one.

FT_TOOLKIT_FUZZ_CASES sets the cases per test (`make fuzz`); without it, there are a few that are the same in every run. With
FT_TOOLKIT_FUZZ_RECORD=FILE, no test stops at a failure: the file gets the cases and the tracebacks of each test
(benchmarks/fuzz.py reads it).
"""

import functools
import json
import os
import signal
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis.errors import HypothesisException, UnsatisfiedAssumption

RECORD = os.environ.get("FT_TOOLKIT_FUZZ_RECORD")
# A case that takes longer counts as a hang. The slowest normal case, a damaged run folder in `ftk compare`, takes 1 s, and 30 s
# if ten processes share two cores.
LIMIT_SECONDS = 120
# No time limit per case, and one folder for the files of all cases.
_EVERY: dict[str, Any] = {
    "deadline": None,
    "database": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
}
settings.register_profile("few", max_examples=15, derandomize=True, **_EVERY)
settings.register_profile(
    "many", max_examples=int(os.environ.get("FT_TOOLKIT_FUZZ_CASES", "15")), print_blob=True, **_EVERY
)
settings.register_profile(
    "record", settings.get_profile("many"), phases=[Phase.explicit, Phase.generate], verbosity=Verbosity.quiet
)
settings.load_profile("record" if RECORD else "many" if "FT_TOOLKIT_FUZZ_CASES" in os.environ else "few")
_records: dict[str, dict[str, Any]] = {}


class Hang(BaseException):
    """A case took longer than the limit."""


def _stop(signum: int, frame: object) -> None:
    raise Hang


def cause_of(error: BaseException) -> str:
    """Return the type of an error and the last line of the project that it passed through."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/ft_toolkit/" in frame.filename] or frames
    path = ours[-1].filename.rpartition("/ft_toolkit/")[2]
    return f"{type(error).__name__} in {path}:{ours[-1].name}: {str(error)[:100]!r}"


def _recording(test: Any, record: dict[str, Any]) -> Any:
    """Return a test that counts its cases, and its tracebacks by cause, and never fails."""

    @functools.wraps(test)
    def case(*arguments: Any, **values: Any) -> None:
        started = time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, LIMIT_SECONDS)
        try:
            test(*arguments, **values)
        except (HypothesisException, UnsatisfiedAssumption, pytest.skip.Exception):
            raise
        except (Exception, Hang) as error:  # noqa: BLE001 - every traceback is counted
            record["tracebacks"] += 1
            record["causes"][cause_of(error)] += 1
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        record["cases"] += 1
        record["slowest"] = max(record["slowest"], round(time.monotonic() - started, 2))

    return case


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if RECORD is None:
        return
    signal.signal(signal.SIGALRM, _stop)
    for item in items:
        handle = getattr(getattr(item, "obj", None), "hypothesis", None)
        if handle is not None and not hasattr(handle.inner_test, "is_recorded"):
            name = item.nodeid.partition("[")[0].rpartition("/")[2]
            record = _records.setdefault(name, {"cases": 0, "tracebacks": 0, "slowest": 0.0, "causes": Counter()})
            handle.inner_test = _recording(handle.inner_test, record)
            handle.inner_test.is_recorded = True


def pytest_sessionfinish(session: pytest.Session) -> None:
    if RECORD is not None:
        Path(RECORD).write_text(json.dumps(_records), encoding="utf-8")

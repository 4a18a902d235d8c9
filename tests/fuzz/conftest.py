"""The number of cases: FT_TOOLKIT_FUZZ_CASES per test (`make fuzz`), otherwise a few that are the same in every run."""

import os

from hypothesis import HealthCheck, settings

# No time limit per case, and one folder for the files of all cases.
_EVERY = {
    "deadline": None,
    "database": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
}
settings.register_profile("few", max_examples=15, derandomize=True, **_EVERY)
settings.register_profile(
    "many", max_examples=int(os.environ.get("FT_TOOLKIT_FUZZ_CASES", "15")), print_blob=True, **_EVERY
)
settings.load_profile("many" if "FT_TOOLKIT_FUZZ_CASES" in os.environ else "few")

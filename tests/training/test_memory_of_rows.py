"""The memory before the first step does not grow with the texts of the training file."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ft_toolkit.core import cache

# Prints the largest anonymous memory in MiB while a recipe is prepared, above the memory before.
SCRIPT = """
import sys, threading, time
from pathlib import Path
from ft_toolkit.data import row_streams, stored_rows
from ft_toolkit.recipe.load_recipe import load_recipe
from ft_toolkit.tasks import find_tasks
from ft_toolkit.training import encode_splits
from ft_toolkit.training.prepare import prepare

def anonymous():
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("RssAnon"))

def watch():
    global peak
    while True:
        peak = max(peak, anonymous())
        time.sleep(0.002)

row_streams.MIN_BYTES, encode_splits.MIN_ROWS, stored_rows.CHARACTERS = 1_000_000, 100, 200_000
recipe, small, large = sys.argv[1:]
peaks = []
for path in (small, small, large):  # the first one loads libraries
    before = peak = anonymous()
    if not peaks:
        threading.Thread(target=watch, daemon=True).start()
    loaded = load_recipe(Path(recipe), [f"data.train={path}", f"data.validation={small}", "data.test=null"], find_tasks())
    prepared = prepare(loaded, work_folder=Path(path).parent)
    peaks.append(peak - before)
print(*peaks)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_texts(
    write_recipe: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(cache.PLACE, str(tmp_path / "cache"))
    word = "x" * 120  # one unknown token
    files = []
    for name, n_rows in (("small.jsonl", 500), ("large.jsonl", 10_000)):
        rows = ({"text": f"{i} " + f"{word} " * 30, "label": "ab"[i % 2]} for i in range(n_rows))
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        files.append(str(tmp_path / name))
    mib = (tmp_path / "large.jsonl").stat().st_size / 2**20
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(write_recipe()), *files], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    _, _, peak = map(float, result.stdout.split())
    assert mib > 34
    assert peak < 0.7 * mib, f"{peak:.0f} MiB for a file of {mib:.0f} MiB"

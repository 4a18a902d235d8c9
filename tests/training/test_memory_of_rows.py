"""The memory before the first step does not grow with the texts of the training file."""

import gzip
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ft_toolkit.core import cache
from ft_toolkit.data.seen_rows import hash_text, input_hash
from ft_toolkit.tasks import find_tasks

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
recipe, small, large, *settings = sys.argv[1:]
peaks = []
for path in (small, small, large):  # the first one loads libraries
    before = peak = anonymous()
    if not peaks:
        threading.Thread(target=watch, daemon=True).start()
    loaded = load_recipe(Path(recipe), [f"data.train={path}", "data.test=null", *settings], find_tasks())
    prepared = prepare(loaded, work_folder=Path(path).parent)
    peaks.append(peak - before)
print(*peaks)
"""


HELD_OUT = ("data.validation=null", "data.validation_fraction=0.1")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("suffix", "settings"),
    [
        ("", ("data.validation=SMALL",)),
        (".gz", ("data.validation=SMALL",)),
        ("", ("data.fold=1/3", *HELD_OUT)),
        ("", ("data.patch=PATCH", *HELD_OUT)),
        ("", ("data.time=at", *HELD_OUT)),
    ],
)
def test_memory_does_not_grow_with_the_texts(
    suffix: str,
    settings: tuple[str, ...],
    write_recipe: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(cache.PLACE, str(tmp_path / "cache"))
    word = "x" * 120  # one unknown token
    files = []
    for name, n_rows in (("small.jsonl", 500), ("large.jsonl", 10_000)):
        rows = [
            {"text": f"{i} " + f"{word} " * 30, "label": "ab"[i % 2], "at": f"{1900 + i % 100}-01-01"}
            for i in range(n_rows)
        ]
        content = "".join(json.dumps(row) + "\n" for row in rows).encode()
        mib = len(content) / 2**20
        (tmp_path / (name + suffix)).write_bytes(gzip.compress(content, 1) if suffix else content)
        files.append(str(tmp_path / (name + suffix)))
    task = find_tasks()["text_classification"]
    decisions = [
        {"split": "train", "row": str(i + 1), "hash": hash_text(input_hash(rows[i], task)), **change}
        for i, change in ((3, {"decision": "drop"}), (4, {"decision": "relabel", "label": "b"}))
    ]
    (tmp_path / "patch.json").write_text(json.dumps({"decisions": decisions}), encoding="utf-8")
    paths = {"SMALL": files[0], "PATCH": str(tmp_path / "patch.json")}
    words = [re.sub("SMALL|PATCH", lambda match: paths[match[0]], setting) for setting in settings]
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(write_recipe()), *files, *words], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    _, _, peak = map(float, result.stdout.split())
    assert mib > 34
    assert peak < 0.7 * mib, f"{peak:.0f} MiB for a file of {mib:.0f} MiB"

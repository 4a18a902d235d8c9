"""The reload proof: a fresh process loads the saved model and must predict what the run predicted."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ft_toolkit.data.cards import SplitName
from ft_toolkit.errors import ReloadError
from ft_toolkit.prepare import Prepared

# Predictions that a fresh process repeats to prove the saved model, and how far a probability may differ.
PROOF_ROWS = 256
PROOF_TOLERANCE = {"no": 1e-4, "bf16": 3e-2}


def prove_reload(
    model_folder: Path, prepared: Prepared, decoded: dict[SplitName, list[dict[str, Any]]]
) -> dict[str, Any]:
    """Predict rows again with `ftk predict` in a fresh, offline process and compare with what the run predicted.

    Takes test rows if there are any, else validation rows; every k-th, at most PROOF_ROWS. Raises ReloadError.
    """
    split: SplitName = "test" if "test" in decoded else "validation"
    rows, expected = prepared.data.splits[split], decoded[split]
    chosen = range(0, len(rows), -(-len(rows) // PROOF_ROWS))
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        asked, answered = Path(scratch) / "rows.jsonl", Path(scratch) / "predictions.jsonl"
        inputs = [{key: value for key, value in rows[i].items() if key != "label"} for i in chosen]
        asked.write_text("".join(json.dumps(row) + "\n" for row in inputs), encoding="utf-8")
        words = [
            sys.executable,
            "-m",
            "ft_toolkit",
            "predict",
            str(model_folder),
            "--input",
            str(asked),
            "--output",
            str(answered),
        ]
        done = subprocess.run(words, capture_output=True, text=True, check=False, env=_plain_environment())
        if done.returncode != 0:
            raise ReloadError(f"the saved model cannot be loaded by a fresh process:\n{done.stderr.strip()}")
        found = [json.loads(line) for line in answered.read_text(encoding="utf-8").splitlines()]
    difference = max((_difference(expected[i], answer) for i, answer in zip(chosen, found, strict=True)), default=0.0)
    tolerance = PROOF_TOLERANCE[prepared.recipe.training.mixed_precision]
    if difference > tolerance:
        raise ReloadError(
            f"a fresh process predicts otherwise with {model_folder}: a score differs by {difference:.2g} "
            f"(allowed {tolerance:g}). The run is kept for inspection; its model is not proven"
        )
    return {
        "split": split,
        "rows": len(found),
        "largest_difference": difference,
        "tolerance": tolerance,
        "seconds": round(time.perf_counter() - started, 2),
    }


def _difference(expected: dict[str, Any], found: dict[str, Any]) -> float:
    """Return the largest difference of two predictions' numbers, relative where they exceed 1."""
    ours = expected.get("probabilities") or {"score": expected["score"]}
    theirs = found.get("probabilities") or {"score": found["score"]}
    return float(max(abs(ours[key] - theirs[key]) / max(1.0, abs(ours[key])) for key in ours))


def _plain_environment() -> dict[str, str]:
    """Return the environment without what makes a process one of several ranks, and without the network."""
    launcher = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "GROUP_RANK")
    kept = {
        key: value
        for key, value in os.environ.items()
        if key not in launcher and not key.startswith(("TORCHELASTIC_", "ACCELERATE_"))
    }
    return {**kept, "HF_HUB_OFFLINE": "1"}

"""Train a text classifier with simpletransformers at its defaults, and print what it took as one line of JSON.

    python benchmarks/peers/simple_run.py JOB.json

It needs a Python environment of its own, since simpletransformers wants other versions: against_peers.py is told of it by
--simpletransformers-python. The job is that of trainer_run.py.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
from simpletransformers.classification import ClassificationArgs, ClassificationModel


def main(job: dict[str, Any]) -> None:
    frames = {name: pd.read_json(job[name], lines=True, dtype={"label": str}) for name in ("train", "validation")}
    labels = sorted(set(frames["train"]["label"]))
    for frame in frames.values():
        frame["labels"] = frame["label"].map(labels.index)
    arguments = ClassificationArgs(
        num_train_epochs=job["epochs"],
        train_batch_size=job["batch"],
        eval_batch_size=job["batch"],
        learning_rate=job["learning_rate"],
        max_seq_length=job["max_length"],
        manual_seed=job["seed"],
        output_dir=job["output"],
        cache_dir=f"{job['output']}/cache",
        overwrite_output_dir=True,
        use_multiprocessing=False,
        use_multiprocessing_for_evaluation=False,
        silent=True,
        fp16=False,
    )
    model = ClassificationModel("bert", job["model"], num_labels=len(labels), args=arguments, use_cuda=not job["cpu"])
    before = time.perf_counter()
    model.train_model(frames["train"][["text", "labels"]])
    trained = time.perf_counter()
    _, outputs, _ = model.eval_model(frames["validation"][["text", "labels"]])
    evaluated = time.perf_counter()
    right = [bool(x) for x in outputs.argmax(-1) == frames["validation"]["labels"].to_numpy()]
    print(json.dumps({"train_seconds": trained - before, "evaluation_seconds": evaluated - trained, "right": right}))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))

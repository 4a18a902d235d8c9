"""Train a classifier or a tagger with simpletransformers' defaults, and print times and scores as one line of JSON.

    python benchmarks/peers/simple_run.py JOB.json

simpletransformers requires other package versions, so it needs its own Python environment; against_peers.py takes its Python as
--simpletransformers-python. The job has the keys of trainer_run.py. `right` is given for classification only. Question
answering cannot be imported: version 0.70.8 uses a class that transformers 5 removed.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

Rows = list[dict[str, Any]]


def main(job: dict[str, Any]) -> None:
    rows = {name: read(job[name]) for name in ("train", "validation")}
    arguments = {
        "num_train_epochs": job["epochs"],
        "train_batch_size": job["batch"],
        "eval_batch_size": job["batch"],
        "learning_rate": job["learning_rate"],
        "max_seq_length": job["max_length"],
        "manual_seed": job["seed"],
        "output_dir": job["output"],
        "cache_dir": f"{job['output']}/cache",
        "overwrite_output_dir": True,
        "use_multiprocessing": False,
        "use_multiprocessing_for_evaluation": False,
        "silent": True,
        "fp16": False,
    }
    fit, evaluate = TASKS[job["task"]](job, arguments, rows["train"], rows["validation"])
    before = time.perf_counter()
    fit()
    trained = time.perf_counter()
    right = evaluate()
    seconds = {"train_seconds": trained - before, "evaluation_seconds": time.perf_counter() - trained}
    print(json.dumps({**seconds, "right": right}))


def read(path: str) -> Rows:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


Steps = tuple[Callable[[], Any], Callable[[], list[bool] | None]]


def classification(job: dict[str, Any], arguments: dict[str, Any], train: Rows, validation: Rows) -> Steps:
    from simpletransformers.classification import ClassificationModel

    labels = sorted({str(row["label"]) for row in train})
    frames = [
        pd.DataFrame(
            {"text": [row["text"] for row in rows], "labels": [labels.index(str(row["label"])) for row in rows]}
        )
        for rows in (train, validation)
    ]
    model = ClassificationModel("bert", job["model"], num_labels=len(labels), args=arguments, use_cuda=not job["cpu"])

    def evaluate() -> list[bool]:
        _, outputs, _ = model.eval_model(frames[1])
        return [bool(x) for x in outputs.argmax(-1) == frames[1]["labels"].to_numpy()]

    return lambda: model.train_model(frames[0]), evaluate


def tagging(job: dict[str, Any], arguments: dict[str, Any], train: Rows, validation: Rows) -> Steps:
    from simpletransformers.ner import NERModel

    frames = [
        pd.DataFrame(
            [
                (number, word, tag)
                for number, row in enumerate(rows)
                for word, tag in zip(row["tokens"], row["tags"], strict=True)
            ],
            columns=["sentence_id", "words", "labels"],
        )
        for rows in (train, validation)
    ]
    tags = sorted({tag for row in [*train, *validation] for tag in row["tags"]})
    model = NERModel("bert", job["model"], labels=tags, args=arguments, use_cuda=not job["cpu"])
    return lambda: model.train_model(frames[0]), lambda: model.eval_model(frames[1]) and None


TASKS: dict[str, Callable[[dict[str, Any], dict[str, Any], Rows, Rows], Steps]] = {
    "text_classification": classification,
    "ner": tagging,
}


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))

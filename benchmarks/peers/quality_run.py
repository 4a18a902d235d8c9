"""Train one contender of quality.py on a file of rows, predict the test rows, and write the predictions as JSON.

    python benchmarks/peers/quality_run.py JOB.json

The job has: contender, task (text_classification or ner), train, test (files of JSON lines), model (a folder), seed, output
(the file for the predictions). setfit requires its own Python environment.
"""

import json
import sys
from pathlib import Path
from typing import Any

Rows = list[dict[str, Any]]
Job = dict[str, Any]
MAX_LENGTH = 128


def tfidf(job: Job, train: Rows, test: Rows) -> list[Any]:
    """Words, pairs of words, and characters, with logistic regression."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union

    features = make_union(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True),
    )
    model = make_pipeline(features, LogisticRegression(C=10.0, max_iter=1000))
    return list(model.fit(texts(train), labels(train)).predict(texts(test)))


def embeddings(job: Job, train: Rows, test: Rows) -> list[Any]:
    """Frozen, mean-pooled and normalized embeddings with logistic regression."""
    import torch
    from sklearn.linear_model import LogisticRegression
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(job["model"]), AutoModel.from_pretrained(job["model"]).eval()

    def embed(rows: Rows) -> Any:
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]["text"]))
        parts = []
        for first in range(0, len(rows), 64):
            batch = [rows[i]["text"] for i in order[first : first + 64]]
            inputs = tokenizer(batch, truncation=True, max_length=MAX_LENGTH, padding=True, return_tensors="pt")
            with torch.inference_mode():
                hidden, mask = model(**inputs).last_hidden_state, inputs["attention_mask"].unsqueeze(-1)
            parts.append(torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1)))
        return torch.cat(parts)[torch.tensor(order).argsort()].numpy()

    return list(LogisticRegression(C=10.0, max_iter=1000).fit(embed(train), labels(train)).predict(embed(test)))


def trainer(job: Job, train: Rows, test: Rows) -> list[Any]:
    """transformers.Trainer at its defaults: 3 epochs, 8 rows per step, learning rate 5e-5, float32."""
    import numpy as np
    import transformers
    from datasets import Dataset

    is_ner = job["task"] == "ner"
    key = "tags" if is_ner else "label"
    names = sorted({name for row in train for name in (row[key] if is_ner else [row[key]])})
    tokenizer = transformers.AutoTokenizer.from_pretrained(job["model"])

    def encode(rows: dict[str, list[Any]]) -> Any:
        if not is_ner:
            encoding = tokenizer(rows["text"], truncation=True, max_length=MAX_LENGTH)
            return {**encoding, "labels": [names.index(label) if label in names else 0 for label in rows["label"]]}
        encoding = tokenizer(rows["tokens"], is_split_into_words=True, truncation=True, max_length=MAX_LENGTH)
        encoding["labels"] = [
            [
                names.index(tags[word]) if word is not None and word != before and tags[word] in names else -100
                for before, word in zip([None, *words], words, strict=False)
            ]
            for tags, words in zip(rows["tags"], (encoding.word_ids(i) for i in range(len(rows["tags"]))), strict=True)
        ]
        return encoding

    data = [Dataset.from_list(rows) for rows in (train, test)]
    encoded = [rows.map(encode, batched=True, remove_columns=rows.column_names) for rows in data]
    auto = transformers.AutoModelForTokenClassification if is_ner else transformers.AutoModelForSequenceClassification
    collator = (transformers.DataCollatorForTokenClassification if is_ner else transformers.DataCollatorWithPadding)(
        tokenizer
    )
    transformers.set_seed(job["seed"])
    model = auto.from_pretrained(job["model"], num_labels=len(names))
    arguments = transformers.TrainingArguments(
        output_dir=job["output"] + ".trainer", seed=job["seed"], save_strategy="no", report_to="none", use_cpu=True
    )
    run = transformers.Trainer(model=model, args=arguments, train_dataset=encoded[0], data_collator=collator)
    run.train()
    output = run.predict(encoded[1])
    best = np.argmax(output.predictions, -1)
    if not is_ner:
        return [names[i] for i in best]
    tagged = []
    for row, predicted, target in zip(test, best, output.label_ids, strict=True):
        found = [names[i] for i in predicted[target != -100]] if "O" in names else []
        known = [number for number, tag in enumerate(row["tags"]) if tag in names]
        tags = ["O"] * len(row["tags"])
        for number, tag in zip(known, found, strict=False):
            tags[number] = tag
        tagged.append(tags)
    return tagged


def setfit(job: Job, train: Rows, test: Rows) -> list[Any]:
    """setfit 1.2: contrastive training of the embeddings on pairs of rows, then logistic regression."""
    from datasets import Dataset
    from setfit import SetFitModel, Trainer, TrainingArguments

    model = SetFitModel.from_pretrained(job["model"])
    arguments = TrainingArguments(
        batch_size=16, num_epochs=1, num_iterations=20, seed=job["seed"], output_dir=job["output"] + ".setfit"
    )
    rows = Dataset.from_list([{"text": row["text"], "label": row["label"]} for row in train])
    Trainer(model=model, args=arguments, train_dataset=rows).train()
    return [str(label) for label in model.predict(texts(test))]


def texts(rows: Rows) -> list[str]:
    return [row["text"] for row in rows]


def labels(rows: Rows) -> list[str]:
    return [row["label"] for row in rows]


CONTENDERS = {run.__name__: run for run in (tfidf, embeddings, trainer, setfit)}

if __name__ == "__main__":
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    train, test = (
        [json.loads(line) for line in Path(job[name]).read_text(encoding="utf-8").splitlines()]
        for name in ("train", "test")
    )
    predictions = CONTENDERS[job["contender"]](job, train, test)
    Path(job["output"]).write_text(json.dumps(predictions), encoding="utf-8")

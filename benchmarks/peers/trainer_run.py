"""Train one model with transformers.Trainer, as its example scripts do, and print times and scores as one line of JSON.

    python benchmarks/peers/trainer_run.py JOB.json

against_peers.py writes the job: task, files, model, method, batch, rate, epochs, seed, and padding, which is max_length (the
scripts' default), dynamic, or grouped (dynamic, with rows of similar length together).
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

started = time.perf_counter()

import numpy as np  # noqa: E402 - the measured seconds include the imports
import transformers  # noqa: E402
from datasets import Dataset, load_dataset  # noqa: E402
from transformers import (  # noqa: E402
    AutoTokenizer,
    DataCollatorForLanguageModeling,
    DataCollatorForSeq2Seq,
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    Trainer,
    TrainingArguments,
    default_data_collator,
)

Job = dict[str, Any]


def classification(job: Job, train: Dataset, validation: Dataset, tokenizer: Any) -> dict[str, Any]:
    labels = sorted(set(train["label"]))

    def encode(rows: dict[str, list[Any]]) -> Any:
        encoding = tokenizer(rows["text"], truncation=True, max_length=job["max_length"], padding=padding(job))
        return {**encoding, "labels": [labels.index(label) for label in rows["label"]]}

    model = transformers.AutoModelForSequenceClassification.from_pretrained(job["model"], num_labels=len(labels))
    return {"model": model, "encode": encode, "collator": DataCollatorWithPadding(tokenizer)}


def ner(job: Job, train: Dataset, validation: Dataset, tokenizer: Any) -> dict[str, Any]:
    labels = sorted({tag for rows in (train, validation) for tags in rows["tags"] for tag in tags})

    def encode(rows: dict[str, list[Any]]) -> Any:
        encoding = tokenizer(
            rows["tokens"],
            is_split_into_words=True,
            truncation=True,
            max_length=job["max_length"],
            padding=padding(job),
        )
        targets = []
        for number, tags in enumerate(rows["tags"]):
            words = encoding.word_ids(number)
            before = [None, *words[:-1]]
            targets.append(
                [-100 if w is None or w == b else labels.index(tags[w]) for w, b in zip(words, before, strict=True)]
            )
        return {**encoding, "labels": targets}

    model = transformers.AutoModelForTokenClassification.from_pretrained(job["model"], num_labels=len(labels))
    return {"model": model, "encode": encode, "collator": DataCollatorForTokenClassification(tokenizer)}


def question_answering(job: Job, train: Dataset, validation: Dataset, tokenizer: Any) -> dict[str, Any]:
    def encode(rows: dict[str, list[Any]]) -> Any:
        encoding = tokenizer(
            rows["question"],
            rows["context"],
            truncation="only_second",
            max_length=job["max_length"],
            stride=job["max_length"] // 3,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
            padding=padding(job),
        )
        rows_of, offsets = encoding.pop("overflow_to_sample_mapping"), encoding.pop("offset_mapping")
        starts, ends = [], []
        for number, row in enumerate(rows_of):
            answer = rows["answers"][row][0]
            first, last = answer["answer_start"], answer["answer_start"] + len(answer["text"])
            inside = [i for i, which in enumerate(encoding.sequence_ids(number)) if which == 1]
            answer_tokens = [i for i in inside if offsets[number][i][1] > first and offsets[number][i][0] < last]
            is_complete = (
                answer_tokens and offsets[number][inside[0]][0] <= first and offsets[number][inside[-1]][1] >= last
            )
            starts.append(answer_tokens[0] if is_complete else 0)
            ends.append(answer_tokens[-1] if is_complete else 0)
        return {**encoding, "start_positions": starts, "end_positions": ends}

    model = transformers.AutoModelForQuestionAnswering.from_pretrained(job["model"])
    return {"model": model, "encode": encode, "collator": DataCollatorWithPadding(tokenizer)}


def summarization(job: Job, train: Dataset, validation: Dataset, tokenizer: Any) -> dict[str, Any]:
    source, target = ("en", "de") if job["task"] == "translation" else ("document", "summary")

    def encode(rows: dict[str, list[Any]]) -> Any:
        encoding = tokenizer(rows[source], truncation=True, max_length=job["max_length"], padding=padding(job))
        encoding["labels"] = tokenizer(text_target=rows[target], truncation=True, max_length=job["max_target"])[
            "input_ids"
        ]
        return encoding

    if transformers.AutoConfig.from_pretrained(job["model"]).is_encoder_decoder:
        model = transformers.AutoModelForSeq2SeqLM.from_pretrained(job["model"])
        model.generation_config.max_new_tokens, model.generation_config.num_beams = job["max_target"], 1
        return {"model": model, "encode": encode, "collator": DataCollatorForSeq2Seq(tokenizer, model=model)}
    model = transformers.EncoderDecoderModel.from_encoder_decoder_pretrained(job["model"], job["model"])
    for config in (model.config, model.generation_config):
        config.decoder_start_token_id, config.pad_token_id = tokenizer.cls_token_id, tokenizer.pad_token_id
        config.eos_token_id = tokenizer.sep_token_id
    model.generation_config.max_new_tokens, model.generation_config.num_beams = job["max_target"], 1
    return {"model": model, "encode": encode, "collator": DataCollatorForSeq2Seq(tokenizer, model=model)}


def language_modelling(job: Job, train: Dataset, validation: Dataset, tokenizer: Any) -> dict[str, Any]:
    def encode(rows: dict[str, list[Any]]) -> Any:
        encoding = tokenizer(rows["text"], truncation=True, max_length=job["max_length"], padding=padding(job))
        return dict(encoding)

    model = transformers.AutoModelForMaskedLM.from_pretrained(job["model"])
    return {
        "model": model,
        "encode": encode,
        "collator": DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15),
    }


TASKS: dict[str, Callable[[Job, Dataset, Dataset, Any], dict[str, Any]]] = {
    "text_classification": classification,
    "ner": ner,
    "question_answering": question_answering,
    "summarization": summarization,
    "translation": summarization,
    "language_modelling": language_modelling,
}


def padding(job: Job) -> str | bool:
    return "max_length" if job["padding"] == "max_length" else False


def with_lora(model: Any) -> Any:
    from peft import LoraConfig, get_peft_model

    heads = [name for name, _ in model.named_children() if name in ("classifier", "qa_outputs", "cls")]
    return get_peft_model(
        model, LoraConfig(r=8, lora_alpha=16, target_modules=["query", "value"], modules_to_save=heads)
    )


def arguments_of(job: Job) -> tuple[TrainingArguments, type[Trainer]]:
    """Return the training arguments and the trainer class."""
    generates = job["task"] in ("summarization", "translation")
    arguments_class, trainer_class = (
        (Seq2SeqTrainingArguments, Seq2SeqTrainer) if generates else (TrainingArguments, Trainer)
    )
    arguments = arguments_class(
        output_dir=job["output"],
        num_train_epochs=job["epochs"],
        per_device_train_batch_size=job["batch"],
        per_device_eval_batch_size=job["batch"],
        learning_rate=job["learning_rate"],
        warmup_steps=0.06,
        weight_decay=0.01,
        seed=job["seed"],
        save_strategy="no",
        logging_steps=10,
        disable_tqdm=True,
        bf16=job["bf16"],
        use_cpu=job["cpu"],
        prediction_loss_only=job["task"] not in ("text_classification", "summarization", "translation"),
        train_sampling_strategy="group_by_length" if job["padding"] == "grouped" else "random",
        **({"predict_with_generate": True} if generates else {}),
    )
    return arguments, trainer_class


def main(job: Job) -> None:
    tokenizer = AutoTokenizer.from_pretrained(job["model"])
    transformers.set_seed(job["seed"])
    files = {name: job[name] for name in ("train", "validation")}
    rows = load_dataset("json", data_files=files, cache_dir=str(Path(job["output"]) / "cache"))
    parts = TASKS[job["task"]](job, rows["train"], rows["validation"], tokenizer)
    model = with_lora(parts["model"]) if job["method"] == "lora" else parts["model"]
    encoded = rows.map(parts["encode"], batched=True, remove_columns=rows["train"].column_names)
    arguments, trainer_class = arguments_of(job)
    fixed = job["padding"] == "max_length" and job["task"] in ("text_classification", "ner", "question_answering")
    collator = default_data_collator if fixed else parts["collator"]
    trainer = trainer_class(
        model=model,
        args=arguments,
        train_dataset=encoded["train"],
        eval_dataset=encoded["validation"],
        data_collator=collator,
        processing_class=tokenizer,
        callbacks=[first := FirstStep()],
    )
    before = time.perf_counter()
    trainer.train()
    trained = time.perf_counter()
    predicted = trainer.predict(encoded["validation"])
    evaluated = time.perf_counter()
    trainer.save_model()
    right = None
    if job["task"] == "text_classification":
        right = [bool(x) for x in np.argmax(predicted.predictions, -1) == predicted.label_ids]
    attended = [sum(mask) for mask in encoded["train"]["attention_mask"]]
    print(
        json.dumps(
            {
                "train_seconds": trained - before,
                "evaluation_seconds": evaluated - trained,
                "first_step_seconds": (first.at or trained) - started,
                "tokens": sum(attended) * job["epochs"],
                "loss": predicted.metrics["test_loss"],
                "right": right,
            }
        )
    )


class FirstStep(transformers.TrainerCallback):
    """Stores the time at which the first optimizer step begins."""

    at: float | None = None

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        self.at = self.at or time.perf_counter()


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))

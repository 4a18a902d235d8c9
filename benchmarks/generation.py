"""Measure the speed of greedy generation against transformers' `generate` and Trainer's predict_with_generate.

    python benchmarks/generation.py MODEL [--prompts 256] [--batch 16] [--new-tokens 64] [--rounds 3]

MODEL is a model folder or a run folder of a decoder with its tokenizer. The prompts are the first 4 to 40 words of the texts of
the support inbox, in file order. All ways use the same model in float32 on the CPU and the same batch size, and must write the
same texts. Seconds are CPU seconds of this process, so that other work on the machine does not count; the best round counts.
"""

import argparse
import json
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, Seq2SeqTrainer, Seq2SeqTrainingArguments

from ft_toolkit.core.model_folders import find_model_folder
from ft_toolkit.core.shipped import shipped
from ft_toolkit.tasks.text.decoding import Decoding, _left_padded, continue_prompts, generation_config

Texts = list[str]


def read_prompts(tokenizer: Any, n: int) -> list[list[int]]:
    """Return the tokens of the first words of texts, in file order."""
    numbers, folder = random.Random(1), shipped("data_cards") / "support_inbox"
    rows = [
        json.loads(line)
        for name in ("train", "validation", "test")
        for line in (folder / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    texts = [" ".join(row["text"].split()[: numbers.randint(4, 40)]) for row in rows]
    return [list(ids) for ids in tokenizer((texts * (n // len(texts) + 1))[:n])["input_ids"]]


def by_generate(model: Any, tokenizer: Any, prompts: Sequence[list[int]], decoding: Decoding, size: int) -> Texts:
    """Call `generate` on one batch after the other, in file order."""
    texts: Texts = []
    for start in range(0, len(prompts), size):
        ids, mask = _left_padded(prompts[start : start + size], decoding.pad_id, model.device)
        tokens = model.generate(input_ids=ids, attention_mask=mask, generation_config=generation_config(decoding))
        texts += tokenizer.batch_decode(tokens[:, ids.shape[1] :], skip_special_tokens=True)
    return texts


def by_trainer(model: Any, tokenizer: Any, prompts: Sequence[list[int]], decoding: Decoding, size: int) -> Texts:
    """Use Seq2SeqTrainer with predict_with_generate."""

    def collate(rows: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        ids, mask = _left_padded([row["input_ids"] for row in rows], decoding.pad_id, "cpu")
        return {"input_ids": ids, "attention_mask": mask}

    arguments = Seq2SeqTrainingArguments(
        output_dir="/tmp/generation_trainer",
        per_device_eval_batch_size=size,
        predict_with_generate=True,
        generation_config=generation_config(decoding),
        use_cpu=True,
        disable_tqdm=True,
        report_to=[],
    )
    trainer = Seq2SeqTrainer(model, arguments, data_collator=collate)
    tokens = trainer.predict([{"input_ids": prompt} for prompt in prompts]).predictions
    texts = []
    for start in range(0, len(prompts), size):  # the Trainer returns prompts and texts, padded on the right
        longest = max(len(prompt) for prompt in prompts[start : start + size])
        rows = tokens[start : start + size, longest : longest + decoding.max_new_tokens]
        rows = [[token if token >= 0 else decoding.pad_id for token in row] for row in rows.tolist()]
        texts += tokenizer.batch_decode(rows, skip_special_tokens=True)
    return texts


def by_toolkit(model: Any, tokenizer: Any, prompts: Sequence[list[int]], decoding: Decoding, size: int) -> Texts:
    """Continue the prompts in batches of similar length; finished rows leave their batch."""
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    texts = [""] * len(prompts)
    with torch.inference_mode():
        for start in range(0, len(order), size):
            batch = order[start : start + size]
            written = continue_prompts(model, [prompts[i] for i in batch], decoding, tokenizer)
            for i, (text,) in zip(batch, written, strict=True):
                texts[i] = text
    return texts


WAYS: dict[str, Callable[..., Texts]] = {
    "generate in a loop": by_generate,
    "Trainer, predict_with_generate": by_trainer,
    "ft_toolkit": by_toolkit,
}


def main() -> None:
    """Print a table: CPU seconds, tokens per CPU second, and the share of texts that are the same as by `generate`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    for name, default in (("prompts", 256), ("batch", 16), ("new-tokens", 64), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    folder = find_model_folder(Path(options.model)) or Path(options.model)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    decoding = Decoding(options.new_tokens, tokenizer.eos_token_id, tokenizer.pad_token_id or tokenizer.eos_token_id)
    prompts = read_prompts(tokenizer, options.prompts)
    texts, seconds = {}, {name: float("inf") for name in WAYS}
    for _ in range(options.rounds):
        for name, write in WAYS.items():
            started = time.process_time()
            texts[name] = write(model, tokenizer, prompts, decoding, options.batch)
            seconds[name] = min(seconds[name], time.process_time() - started)
    first = texts["generate in a loop"]
    n_tokens = sum(map(len, tokenizer(first, add_special_tokens=False)["input_ids"]))
    print(f"{len(prompts)} prompts, batches of {options.batch}, {n_tokens} generated tokens")
    print("| way | CPU seconds | tokens per CPU second | same texts |\n|---|---|---|---|")
    for name, value in seconds.items():
        same = sum(a.strip() == b.strip() for a, b in zip(texts[name], first, strict=True))
        print(f"| {name} | {value:.2f} | {n_tokens / value:,.0f} | {same} of {len(prompts)} |")


if __name__ == "__main__":
    main()

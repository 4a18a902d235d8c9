"""Measure the speed of generation against transformers' `generate` and Trainer's predict_with_generate.

    python benchmarks/generation.py MODEL [--prompts 256] [--batch 16] [--new-tokens 64] [--beams 1] [--rounds 3]

MODEL is a model folder or a run folder of a decoder or an encoder-decoder with its tokenizer. The prompts or sources are the
first 4 to 40 words of the texts of the support inbox, in file order, or of the texts of --texts FILE, one a line. All ways use
the same model in float32 on the CPU and the same batch size, and must write the same texts. Seconds are CPU seconds of this
process, so that other work on the machine does not count; the ways take turns, and the best round counts.
"""

import argparse
import json
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    GenerationConfig,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
)

from ft_toolkit.core.model_folders import find_model_folder
from ft_toolkit.core.shipped import shipped
from ft_toolkit.tasks.text.continuations import end_test
from ft_toolkit.tasks.text.decoding import Decoding, continue_prompts, generation_config
from ft_toolkit.tasks.text.decoding_loop import EncoderDecoderSteps, padded, search_beams, write_texts
from ft_toolkit.tasks.text.search import OpenTexts, search_settings

Texts = list[str]


@dataclass(frozen=True)
class Case:
    """A model with the tokens of its prompts or sources, and the generation settings."""

    model: Any
    tokenizer: Any
    prompts: Sequence[list[int]]
    decoding: Decoding
    config: GenerationConfig
    size: int

    @property
    def is_decoder(self) -> bool:
        return not self.model.config.is_encoder_decoder

    def inputs(self, prompts: Sequence[list[int]]) -> dict[str, torch.Tensor]:
        """Return a padded batch: prompts on the left, sources on the right."""
        if self.is_decoder:
            return dict(zip(("input_ids", "attention_mask"), padded(prompts, self.decoding.pad_id, "cpu"), strict=True))
        return dict(self.tokenizer.pad({"input_ids": list(prompts)}, return_tensors="pt"))

    def texts(self, tokens: Any, width: int) -> Texts:
        """Return the texts of generated tokens, without the prompts of this width."""
        new = tokens[:, width:] if self.is_decoder else tokens
        return list(self.tokenizer.batch_decode(new, skip_special_tokens=True))


def read_prompts(tokenizer: Any, n: int, file: str | None) -> list[list[int]]:
    """Return the tokens of the first words of texts, in file order."""
    numbers, folder = random.Random(1), shipped("data_cards") / "support_inbox"
    if file is not None:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    else:
        parts = [folder / f"{name}.jsonl" for name in ("train", "validation", "test")]
        lines = [json.loads(row)["text"] for part in parts for row in part.read_text(encoding="utf-8").splitlines()]
    texts = [" ".join(line.split()[: numbers.randint(4, 40)]) for line in lines]
    return [list(ids) for ids in tokenizer((texts * (n // len(texts) + 1))[:n])["input_ids"]]


def by_generate(case: Case) -> Texts:
    """Call `generate` on one batch after the other, in file order."""
    texts: Texts = []
    for start in range(0, len(case.prompts), case.size):
        inputs = case.inputs(case.prompts[start : start + case.size])
        tokens = case.model.generate(**inputs, generation_config=case.config)
        texts += case.texts(tokens, inputs["input_ids"].shape[1])
    return texts


def by_trainer(case: Case) -> Texts:
    """Use Seq2SeqTrainer with predict_with_generate."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = Seq2SeqTrainingArguments(
            output_dir=folder,
            per_device_eval_batch_size=case.size,
            predict_with_generate=True,
            generation_config=case.config,
            use_cpu=True,
            disable_tqdm=True,
            report_to=[],
        )
        collate = lambda rows: case.inputs([row["input_ids"] for row in rows])  # noqa: E731
        trainer = Seq2SeqTrainer(case.model, arguments, data_collator=collate)
        tokens = trainer.predict([{"input_ids": prompt} for prompt in case.prompts]).predictions
    tokens[tokens < 0] = case.decoding.pad_id
    texts: Texts = []
    for start in range(0, len(case.prompts), case.size):  # the Trainer pads all batches on the right to one width
        width = max(len(prompt) for prompt in case.prompts[start : start + case.size])
        rows = tokens[start : start + case.size]
        texts += case.texts(rows[:, : width + case.decoding.max_new_tokens] if case.is_decoder else rows, width)
    return texts


def by_toolkit(case: Case) -> Texts:
    """Write the texts in batches of similar length; finished rows leave their batch."""
    order = sorted(range(len(case.prompts)), key=lambda i: len(case.prompts[i]))
    texts = [""] * len(case.prompts)
    with torch.inference_mode():
        for start in range(0, len(order), case.size):
            batch = order[start : start + case.size]
            for i, text in zip(batch, _write(case, [case.prompts[i] for i in batch]), strict=True):
                texts[i] = text
    return texts


def _write(case: Case, prompts: Sequence[list[int]]) -> Texts:
    if case.is_decoder:
        return [text for (text,) in continue_prompts(case.model, prompts, case.decoding, case.tokenizer)]
    start = case.config.decoder_start_token_id
    settings, _ = search_settings(case.config, is_encoder_decoder=True)
    steps, contexts = EncoderDecoderSteps(case.model, case.inputs(prompts), start), [[start]] * len(prompts)
    if settings.num_beams > 1:
        return case.texts(search_beams(steps, contexts, settings), 0)
    texts = OpenTexts(contexts, settings.max_new_tokens, end_test(contexts, settings.eos_token_id, (), None))
    return case.texts(write_texts(steps, texts, settings), 0)


WAYS: dict[str, Callable[[Case], Texts]] = {
    "generate in a loop": by_generate,
    "Trainer, predict_with_generate": by_trainer,
    "ft_toolkit": by_toolkit,
}


def read_case(options: argparse.Namespace) -> Case:
    """Load the model, and read the prompts."""
    folder = find_model_folder(Path(options.model)) or Path(options.model)
    is_decoder = not AutoConfig.from_pretrained(folder).is_encoder_decoder
    auto = AutoModelForCausalLM if is_decoder else AutoModelForSeq2SeqLM
    model = auto.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    decoding = Decoding(options.new_tokens, end, pad, num_beams=options.beams)
    config = generation_config(decoding)
    if not is_decoder:
        saved = model.generation_config
        config.decoder_start_token_id = saved.decoder_start_token_id
        config.forced_bos_token_id, config.forced_eos_token_id = saved.forced_bos_token_id, saved.forced_eos_token_id
    if options.beams > 1:
        config.early_stopping = False
    model.generation_config = config  # `generate` takes settings that are not given from the model
    prompts = read_prompts(tokenizer, options.prompts, options.texts)
    return Case(model, tokenizer, prompts, decoding, config, options.batch)


def main() -> None:
    """Print a table: CPU seconds, tokens per CPU second, and the share of texts that are the same as by `generate`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--texts")
    for name, default in (("prompts", 256), ("batch", 16), ("new-tokens", 64), ("beams", 1), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    case = read_case(options)
    texts, seconds = {}, {name: float("inf") for name in WAYS}
    for _ in range(options.rounds):
        for name, write in WAYS.items():
            started = time.process_time()
            texts[name] = write(case)
            seconds[name] = min(seconds[name], time.process_time() - started)
    first = texts["generate in a loop"]
    n_tokens = sum(map(len, case.tokenizer(first, add_special_tokens=False)["input_ids"]))
    print(f"{len(first)} prompts, batches of {case.size}, {options.beams} beams, {n_tokens} generated tokens")
    print("| way | CPU seconds | tokens per CPU second | same texts |\n|---|---|---|---|")
    for name, value in seconds.items():
        same = sum(a.strip() == b.strip() for a, b in zip(texts[name], first, strict=True))
        print(f"| {name} | {value:.2f} | {n_tokens / value:,.0f} | {same} of {len(first)} |")
    ours = seconds["ft_toolkit"]
    ratios = [f"{seconds[name] / ours:.2f} times {name}" for name in WAYS if name != "ft_toolkit"]
    print(f"ft_toolkit: {', '.join(ratios)}")


if __name__ == "__main__":
    main()

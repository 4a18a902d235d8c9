"""The composition root: a recipe goes in, a fine-tuned, proven, documented model comes out."""

import os
import signal
import time
import zlib
from contextlib import nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState

from ft_toolkit.core import environment, files
from ft_toolkit.core.errors import Interrupted, UsageError
from ft_toolkit.core.run_folder import claim, remove_if_bare, resume_command
from ft_toolkit.core.run_records import write_environment
from ft_toolkit.core.signals import StopRequest, defer_stop_signals
from ft_toolkit.data.cards import SplitName
from ft_toolkit.evaluation.predictor import Predictor
from ft_toolkit.evaluation.scoring import predict_splits
from ft_toolkit.evaluation.statistics.scores import finite, point_scores
from ft_toolkit.recipe.load import LoadedRecipe
from ft_toolkit.report import results as results_file
from ft_toolkit.runs.finish import finish
from ft_toolkit.runs.options import RunOptions
from ft_toolkit.training import checkpoint
from ft_toolkit.training.distributed import processes as ranks
from ft_toolkit.training.distributed.fsdp import Sharding, read_sharding
from ft_toolkit.training.distributed.zero import Zero, read_zero
from ft_toolkit.training.head_probe import fit_head_probe
from ft_toolkit.training.loop import Progress, StepReport, train
from ft_toolkit.training.prepare import FROM_SCRATCH_FOLDER, Prepared, effective_batch, prepare
from ft_toolkit.training.smoke import TINY_MODEL_FOLDER, prepare_smoke
from ft_toolkit.training.speedups.dropout import drops_out
from ft_toolkit.training.tracking import Display, Meter, MetricsFile, check_trackers
from ft_toolkit.training.trained_model import TrainedModel


def run(loaded: LoadedRecipe, options: RunOptions) -> dict[str, Any]:
    """Train, evaluate and document one recipe; return the content of results.json, with the run folder as `folder`.

    Raises UsageError before anything is trained, NotFiniteError, ReloadError, or Interrupted with a checkpoint saved.
    """
    started = time.perf_counter()
    check_trackers(loaded.recipe.tracking)
    state = ranks.join()
    resume, smoke = options.resume, options.smoke
    folder = claim_folder(state, loaded.name, options)
    display = Display(options.console, enabled=state.is_main_process, verbosity=options.verbosity)
    split = read_sharding(os.environ), read_zero(os.environ, loaded.recipe.training.max_grad_norm)
    with ranks.seen_folder(folder) as work, environment.unseen():
        try:
            prepared = _prepare(state, loaded, work, apart=work != folder, smoke=smoke)
        except UsageError:
            if state.is_main_process and not resume:
                remove_if_bare(folder)
            raise
        for line in (*prepared.substitutions, *prepared.facts["warnings"]):
            display.warn(f"note: {line}")
        AcceleratorState._reset_state()  # a run before in this process may have had another precision
        accelerator = Accelerator(
            cpu=environment.use_cpu(),
            mixed_precision=prepared.recipe.training.mixed_precision,
            log_with=list(loaded.recipe.tracking.trackers) or None,
            project_dir=str(folder),  # file-based trackers write there
        )
        return _Run(accelerator, prepared, loaded, folder, display, options.command, started, split).go(resume=resume)


def _prepare(state: PartialState, loaded: LoadedRecipe, work: Path, *, apart: bool, smoke: bool) -> Prepared:
    """Prepare on every process, the main one first, and check that all have the same.

    A model that is made here, the main process makes for all: with `apart`, this one does not see the run folder.
    """

    def share() -> None:
        for name in (TINY_MODEL_FOLDER, FROM_SCRATCH_FOLDER):
            ranks.share_folder(state, work / name, missing=apart)

    prepare_run = prepare_smoke if smoke else prepare
    prepared = ranks.main_first(state, lambda: prepare_run(loaded, work_folder=work), between=share)
    lengths = repr([features.lengths for features in prepared.features.values()]).encode()
    ranks.check_same(
        state,
        {
            "recipe": loaded.recipe.sha256()[:12],
            "rows": prepared.data.fingerprint[:12],
            "tokenizer": f"{zlib.crc32(lengths):08x}",
            "training.mixed_precision": prepared.recipe.training.mixed_precision,
        },
    )
    return prepared


class _Run:
    """One run's state; the order of `go` is the order of the design's picture."""

    def __init__(
        self,
        accelerator: Accelerator,
        prepared: Prepared,
        loaded: LoadedRecipe,
        folder: Path,
        display: Display,
        command: str,
        started: float,
        split: tuple[Sharding, Zero],
    ) -> None:
        self.accelerator = accelerator
        self.state = PartialState()
        self.prepared = prepared
        self.recipe = prepared.recipe
        self.loaded = loaded
        self.folder = folder
        self.display = display
        self.command = command
        self.started = started
        self.trained = TrainedModel(accelerator, prepared, *split, display.say)
        self.progress = Progress()
        self.meter = Meter()
        # What the model of the last evaluation predicts for the validation features, if that is known.
        self.last_values: dict[SplitName, list[Any]] = {}
        # Everything besides weights and optimizer that a resumed run continues with.
        self.history: dict[str, Any] = {
            "best": None,
            "bad_evaluations": 0,
            "evaluations": [],
            "earlier_seconds": 0.0,
            "head_start": None,
        }

    def go(self, *, resume: bool) -> dict[str, Any]:
        if resume:
            self._restore()  # before anything is written: it may refuse
        if self.accelerator.is_main_process:
            self._write_inputs()
        self._announce()
        if not resume:
            self._start_head()
        self._train()
        if not self._evaluated:
            self._evaluate()
        training_seconds = self.history["earlier_seconds"] + time.perf_counter() - self.started
        best = ranks.agree(self.state, lambda: files.find_folder(self.folder / "checkpoints" / "best"))
        assert best is not None, "an evaluation always writes the first best checkpoint"
        self.trained.end(best / "weights.safetensors", partial(ranks.read_bytes, self.state))
        results: dict[str, Any] = {}
        known = self.last_values if self.history["best"]["step"] == self.progress.step else {}
        self.prepared, decoded = predict_splits(self._predictor(), self.prepared, known)
        if self.accelerator.is_main_process:
            self.display.say("saving the model, proving it in a fresh process, computing intervals")
            facts = self._training_facts(training_seconds)
            results = finish(self.folder, self.loaded, self.prepared, self._predictor(), decoded, facts, self.command)
        self.accelerator.wait_for_everyone()
        # not end_training, which would also end the process group that the next seed needs
        for tracker in self.accelerator.trackers:
            tracker.finish()
        return results

    # --- before the first step

    def _write_inputs(self) -> None:
        prepared = self.prepared
        header = f"# What ran, resolved to the last default.    {self.command}\n"
        text = header + self.loaded.to_yaml() if not prepared.substitutions else header + _substituted(prepared)
        files.write_file(self.folder / "recipe.yaml", text)
        write_environment(self.folder, results_file.run_environment(prepared, self.accelerator))

    def _restore(self) -> None:
        processes = self.accelerator.num_processes
        found, state = ranks.agree(
            self.state,
            lambda: checkpoint.read_state(
                self.folder / "checkpoints" / "last", self.recipe.as_dict(), self.prepared.data.fingerprint, processes
            ),
        )
        if not state.get("trained"):
            self.trained.load(found, partial(ranks.read_bytes, self.state))
        self.progress = Progress(**state["progress"])
        self.history = state["history"]
        self.display.say(f"resuming after step {self.progress.step}")
        if state["processes"] != processes:
            dropout = "; with dropout, other neurons are dropped" if drops_out(self.trained.bare.modules()) else ""
            self.display.say(
                f"note: {processes} process{'es' if processes > 1 else ''} instead of {state['processes']}: the same rows in "
                f"each step, so the same losses to rounding{dropout}"
            )

    def _announce(self) -> None:
        prepared, recipe = self.prepared, self.recipe
        rows = ", ".join(f"{len(some)} {name}" for name, some in prepared.data.splits.items())
        count, speedups, split = self.trained.count, self.trained.speedups, self.trained.split_in_words
        shown, more = self.trained.new_modules[:3], len(self.trained.new_modules) - 3
        new = f"; new: {', '.join(shown)}" + (f" and {more} more" if more > 0 else "") if shown else ""
        card = prepared.data.card
        hub_data = f"; {card.block.source.hub}{_at(prepared.data.commit)}" if card and prepared.data.commit else ""
        self.total_steps = prepared.total_steps(self.accelerator.num_processes)
        for line in (
            f"run      {self.folder}",
            f"data     {rows}; fingerprint {prepared.data.fingerprint[:12]}{hub_data}",
            f"model    {recipe.model.title}{_at(prepared.checkpoint.commit)}{new}",
            f"method   {recipe.method.name}: {count.trainable:,} of {count.total:,} weights are trained ({count.share:.1%})",
            *([f"left out {'; '.join(speedups)}"] if speedups else []),
            f"numbers  {self._numbers()}",
            *([f"split    {split}"] if split else []),
            f"steps    {self.total_steps} of {effective_batch(recipe.training, self.accelerator.num_processes)}",
        ):
            self.display.say(line)

    def _start_head(self) -> None:
        with self.trained.whole(changes=True):
            found = fit_head_probe(self.accelerator, self.trained.bare, self.trained.new_modules, self.prepared)
        if found is None:
            return
        self.history["head_start"] = asdict(found)
        self.display.say(
            f"head     {found.layer} starts from a probe of {found.features:,} features: "
            f"loss {found.random_loss:.4f} before, {found.loss:.4f} after, {found.seconds:.1f} s"
        )

    def _numbers(self) -> str:
        """Return in what precision this run computes, and whether that chose itself."""
        chosen = self.loaded.recipe.training.mixed_precision == "auto"
        return {
            "no": "float32",
            "bf16": "bfloat16 products, float32 weights"
            + (
                ": this hardware multiplies bfloat16 itself (training.mixed_precision=no for float32)" if chosen else ""
            ),
        }[self.recipe.training.mixed_precision]

    # --- training

    def _train(self) -> None:
        recipe = self.recipe
        if recipe.tracking.trackers:
            self.accelerator.init_trackers(recipe.tracking.project, config=_flat(recipe.as_dict()))
        self.metrics_file = (
            MetricsFile(self.folder / "metrics.jsonl", self.progress.step) if self.accelerator.is_main_process else None
        )
        self.startup_seconds = round(environment.seconds_since_start(), 2)
        self.display.start(self.progress.step, self.total_steps)
        try:
            with defer_stop_signals() as stop:
                self._train_steps(stop)
        finally:
            self.display.stop()

    def _train_steps(self, stop: StopRequest) -> None:
        training, evaluation = self.recipe.training, self.recipe.evaluation
        window = Meter()
        if self._is_trained:
            return
        trained, plan = self.trained, self.trained.plan(self.total_steps, self.progress.epoch)
        for report in train(self.accelerator, trained.model, trained.optimizer, plan, self.progress, trained.update):
            self.display.step(report)
            self.meter.add(report)
            window.add(report)
            if report.step % training.logging_steps == 0 or report.step == self.total_steps:
                self._log(report, window)
                window = Meter()
            due = report.step % evaluation.eval_steps == 0 if evaluation.eval_steps else report.ends_epoch
            if due:
                self._evaluate()
            elif training.save_steps and report.step % training.save_steps == 0:
                self._save_last()
            self._stop_if_told(stop)
            if self._stopped_early():
                return

    def _log(self, report: StepReport, window: Meter) -> None:
        self._record(
            {
                "step": report.step,
                "epoch": report.epoch,
                **window.as_dict(),
                "learning_rate": report.learning_rate,
                "grad_norm": report.grad_norm,
            }
        )

    def _record(self, record: dict[str, Any]) -> None:
        if self.metrics_file is not None:
            self.metrics_file.write(record)
        if self.recipe.tracking.trackers:
            self.accelerator.log({key: value for key, value in record.items() if key != "step"}, step=record["step"])

    def _evaluate(self) -> None:
        """Score the validation rows, keep the best weights, and save a checkpoint to resume from."""
        with self.trained.whole():
            self._score()
        self._save_last()

    def _score(self) -> None:
        prepared = self.prepared
        rows = prepared.data.splits["validation"]
        features, name = prepared.features["validation"], prepared.selection
        started = time.perf_counter()
        values, loss = self._predictor().predict(features, loss_only=name == "loss")
        seconds = round(time.perf_counter() - started, 2)
        generates = prepared.task.generate is not None
        self.last_values = {} if generates else {"validation": values}
        scores = {"loss": loss}
        if name != "loss" or not generates:
            decoded = prepared.task.decode(values, features, rows, prepared.schema)
            scores |= point_scores(decoded, rows, prepared.task, prepared.schema, prepared.metrics)
        score, best = finite(scores[name]), self.history["best"]
        greater_is_better = name != "loss" and prepared.metrics[name].greater_is_better
        better = best is None or _is_better(score, best["score"], greater_is_better)
        if better:
            self.history["best"] = {"score": score, "step": self.progress.step}
            self.history["bad_evaluations"] = 0
            if self.accelerator.is_main_process:
                with files.atomic_folder(self.folder / "checkpoints" / "best") as fresh:
                    checkpoint.save_weights(self.trained.bare, fresh / "weights.safetensors")
        else:
            self.history["bad_evaluations"] += 1
        record: dict[str, Any] = {"step": self.progress.step, "epoch": self.progress.epoch}
        record |= {f"validation_{key}": finite(value) for key, value in scores.items()}
        self.history["evaluations"].append({**record, "seconds": seconds})
        self._record(record)
        mark = "  (best)" if better else ""
        self.display.say(
            f"step {self.progress.step}/{self.total_steps}: validation "
            + ("" if name == "loss" else f"{name} {scores[name]:.4f}, ")
            + f"loss {loss:.4f}{mark}"
        )

    def _stopped_early(self) -> bool:
        patience = self.recipe.evaluation.early_stopping_patience
        return patience is not None and self.history["bad_evaluations"] >= patience

    def _save_last(self) -> None:
        """Save what a resumed run goes on with; where nothing is left to train, that is the history."""
        main = self.accelerator.is_main_process
        optimizer_state = None if self._is_trained else self.trained.state(keep=main)
        with nullcontext() if self._is_trained else self.trained.whole():
            if main:
                self._write_last(optimizer_state)
        self.accelerator.wait_for_everyone()

    @property
    def _evaluated(self) -> bool:
        """Whether the last evaluation was of the model as it is."""
        return bool(self.history["evaluations"]) and self.history["evaluations"][-1]["step"] == self.progress.step

    @property
    def _is_trained(self) -> bool:
        """Whether nothing is left to train, and the best weights are known."""
        return self._evaluated and (self.progress.step == self.total_steps or self._stopped_early())

    def _write_last(self, optimizer_state: dict[str, Any] | None) -> None:
        state = {
            "trained": optimizer_state is None,
            "progress": asdict(self.progress),
            "history": {
                **self.history,
                "earlier_seconds": self.history["earlier_seconds"] + time.perf_counter() - self.started,
            },
            "fingerprint": self.prepared.data.fingerprint,
            "processes": self.accelerator.num_processes,
            "recipe": self.recipe.as_dict(),
        }
        checkpoint.save_state(self.folder / "checkpoints" / "last", state, self.trained.bare, optimizer_state)

    def _stop_if_told(self, stop: StopRequest) -> None:
        signum = stop.signum
        if self.accelerator.num_processes > 1:  # all ranks stop after the same step
            told = torch.tensor([signum], device=self.accelerator.device)
            signum = int(self.accelerator.gather(told).max())
        if signum:
            self._save_last()
            raise Interrupted(
                signum,
                f"stopped by {signal.Signals(signum).name} after step {self.progress.step}/{self.total_steps}; "
                f"a checkpoint is saved. Go on with:\n  {resume_command(self.command, self.folder)}",
            )

    # --- after the last step

    def _predictor(self) -> Predictor:
        return Predictor(
            self.accelerator,
            self.trained.bare,
            self.prepared.task,
            self.prepared.schema,
            self.prepared.tokenizer,
            self.prepared.evaluation_tokens(),
        )

    def _training_facts(self, seconds: float) -> dict[str, Any]:
        meter, count = self.meter, self.trained.count
        return {
            "steps": self.progress.step,
            "planned_steps": self.total_steps,
            "best_step": self.history["best"]["step"],
            "evaluations": self.history["evaluations"],
            "trainable_parameters": count.trainable,
            "total_parameters": count.total,
            "new_modules": list(self.trained.new_modules),
            "head_start": self.history["head_start"],
            "seconds": round(seconds, 2),
            # from the start of this process, which may have run other seeds before
            "startup_seconds": self.startup_seconds,
            "step_seconds": round(meter.seconds, 2),
            "tokens_per_second": round(meter.tokens / meter.seconds, 1) if meter.seconds else None,
            "padding_share": round(1 - meter.tokens / meter.padded, 4) if meter.padded else None,
        }


def claim_folder(state: PartialState, name: str, options: RunOptions) -> Path:
    """Create the run folder on the main process and return its path: `options.output`, or runs/NAME with a free number."""
    name += "-smoke" if options.smoke else ""
    return Path(ranks.agree(state, lambda: claim(name, options.output, resume=options.resume)))


def _substituted(prepared: Prepared) -> str:
    notes = "".join(f"# {line}\n" for line in prepared.substitutions)
    return notes + LoadedRecipe("", prepared.recipe, prepared.task, {}).to_yaml()


def _at(commit: str | None) -> str:
    return f" at commit {commit}" if commit is not None else ""


def _is_better(score: float | None, best: float | None, greater_is_better: bool) -> bool:
    if score is None or best is None:
        return score is not None
    return score > best if greater_is_better else score < best


def _flat(recipe: dict[str, Any]) -> dict[str, str]:
    return {
        f"{section}.{key}": str(value) for section, values in recipe.items() for key, value in (values or {}).items()
    }

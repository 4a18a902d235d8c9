"""The candidates of `ftk best`, in the order in which they are tried."""

from collections.abc import Iterator
from dataclasses import dataclass

from ft_toolkit.recipe.checks import POOLED_CLASSES
from ft_toolkit.training.automatic import LORA_FACTOR
from ft_toolkit.training.prepare import Prepared

DEFAULT = "default settings"
# From this number of rows per label on, pairs are not tried: fine-tuning has enough rows (Tunstall et al. 2022).
FEW_ROWS_PER_LABEL = 64
# Pairs per row: 40, as in setfit, for up to 32 rows; fewer for more rows, so that all pairs take about as long as the default
# training of 120 steps with 16 rows each.
MOST_PAIRS, FEWEST_PAIRS, ALL_PAIRS = 40, 4, 1280
# Factors on the learning rates that the run would choose, in the order in which they are tried. The lower rate is before the
# higher one: on 300 rows of VADER, the validation loss of the default settings rose after step 15 of 120.
FACTORS = (1.0, 0.3, 3.0)
# Further seeds of the best settings, for the average.
MORE_SEEDS = 2


@dataclass(frozen=True)
class Candidate:
    """Settings that replace those of the recipe. `cost` is its time as a multiple of the default run's.

    `is_essential` marks a candidate that is computed even without time, and that no other one prunes.
    """

    title: str
    settings: tuple[str, ...]
    cost: float = 1.0
    is_essential: bool = False
    may_be_pruned: bool = False


def plan_candidates(prepared: Prepared, base_rate: float) -> Iterator[Candidate]:
    """Yield the candidates. `prepared` is the default run, `base_rate` the learning rate for training all weights."""
    classifies_texts = bool(POOLED_CLASSES & set(prepared.task.auto_class.values()))
    is_pretrained = prepared.recipe.model.config is None
    if classifies_texts and is_pretrained:
        yield Candidate("frozen embeddings, linear head", (*_only_probe("freeze"),), is_essential=True)
    yield Candidate(DEFAULT, (), is_essential=True)
    n_rows = len(prepared.data.splits["train"])
    if is_pretrained and 0 < rows_per_label(prepared) < FEW_ROWS_PER_LABEL:
        pairs = max(min(ALL_PAIRS // n_rows, MOST_PAIRS), FEWEST_PAIRS)
        setting = f"training.contrastive_pairs={pairs}"
        cost = 2 * pairs * n_rows / _rows_of_default(prepared)
        yield Candidate("contrastive pairs, linear head", (setting, *_only_probe("full")), cost)
        yield Candidate("contrastive pairs, then training", (setting, "method=full"), cost + 1, may_be_pruned=True)
    method = prepared.recipe.method.name
    methods = {"full": base_rate, **({"lora": base_rate * LORA_FACTOR} if is_pretrained else {})}
    for name, rate in [(name, rate * factor) for factor in FACTORS for name, rate in methods.items()]:
        text = f"{rate:.1e}"
        if name != method or float(text) != prepared.recipe.training.learning_rate:
            settings = (*(() if name == method else (f"method={name}",)), f"training.learning_rate={text}")
            yield Candidate(f"{name}, learning rate {text}", settings, may_be_pruned=True)


def more_seeds(best: Candidate, seed: int) -> list[Candidate]:
    """Return the settings of the best candidate with other seeds; none for a linear probe, which has no random numbers."""
    if "training.max_steps=0" in best.settings and not any("contrastive" in word for word in best.settings):
        return []
    return [
        Candidate(f"{best.title}, seed {seed + n}", (*best.settings, f"training.seed={seed + n}"), best.cost)
        for n in range(1, MORE_SEEDS + 1)
    ]


def rows_per_label(prepared: Prepared) -> float:
    """Return the mean number of training rows of a label; 0 for a task whose texts do not have one label each."""
    if prepared.task.stratify_by(prepared.recipe.task) is None:
        return 0.0
    return len(prepared.data.splits["train"]) / max(len(prepared.task.labels(prepared.schema)), 1)


def _only_probe(method: str) -> tuple[str, ...]:
    return (f"method={method}", "training.max_steps=0", "training.head_start=probe")


def _rows_of_default(prepared: Prepared) -> int:
    """Return the rows that the default run reads in all its steps."""
    batches = prepared.epoch_batches(0, 1)
    per_epoch = sum(len(micro.features) for step in batches for micros in step for micro in micros if micro.weight)
    return max(round(per_epoch * prepared.total_steps(1) / len(batches)), 1)

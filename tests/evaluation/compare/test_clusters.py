"""`ftk compare` and `ftk gate` resample the groups of the examples that a run folder records."""

import numpy as np
import pytest

from ft_toolkit.core.errors import RunFolderError
from ft_toolkit.core.run_folder import EXAMPLES
from ft_toolkit.evaluation.compare.comparison import compare_runs
from ft_toolkit.evaluation.compare.examples import read_examples, write_examples
from ft_toolkit.evaluation.compare.finished_runs import read_runs
from ft_toolkit.evaluation.compare.gate import Conditions, check_run
from ft_toolkit.evaluation.compare.gate_checks import Bound, Drop
from ft_toolkit.evaluation.statistics.significance import CLUSTER_BOOTSTRAP, JACKKNIFE, SHARE_TEST

pytestmark = pytest.mark.trains


def two_runs(make_run, n_documents, rows, *, with_documents):
    """Return runs on documents of equal rows: the second one is right on all rows of two more documents."""
    documents = np.repeat(np.arange(n_documents), rows) if with_documents else None
    right = np.repeat(np.arange(n_documents) % 3 > 0, rows)
    better = right.copy()
    better[: rows * 4] = True
    name = f"{n_documents}-{with_documents}"
    return [
        make_run(f"{name}-base", right, documents=documents),
        make_run(f"{name}-better", better, documents=documents),
    ]


@pytest.mark.parametrize(("n_documents", "test"), [(12, JACKKNIFE), (36, CLUSTER_BOOTSTRAP)])
def test_a_gain_on_two_documents_is_significant_only_if_rows_count_as_independent(make_run, n_documents, test):
    outcomes = {}
    for with_documents in (False, True):
        runs = read_runs(two_runs(make_run, n_documents, 12, with_documents=with_documents))
        comparison = compare_runs(runs, metric=None, columns=["source"])
        (difference,) = comparison.main.differences.values()
        outcomes[with_documents] = (difference.test, difference.outcome)
        assert any("groups by 'document'" in note for note in comparison.notes) == with_documents
        gate = check_run(
            runs[0], Conditions([Bound("min-low", "accuracy", 0.55)], Drop(runs[1], None, 0.0, 0.05, False))
        )
        bound, drop = gate.checks[-2:]
        assert not drop.passed if not with_documents else drop.passed
        assert any("groups by 'document'" in note for note in gate.notes) == with_documents
        outcomes[with_documents] += (bound.figures["low"],)
    assert outcomes[False][:2] == (SHARE_TEST, "better")
    assert outcomes[True][:2] == (test, "no significant difference")
    assert outcomes[True][2] < outcomes[False][2] - 0.03


def test_a_run_without_groups_is_compared_by_the_groups_of_the_other(make_run):
    base = two_runs(make_run, 12, 12, with_documents=False)[0]
    better = two_runs(make_run, 12, 12, with_documents=True)[1]
    (difference,) = compare_runs(read_runs([base, better]), metric=None, columns=[]).main.differences.values()
    assert difference.test == JACKKNIFE


def test_missing_and_wrong_groups_are_refused(make_run):
    folder = two_runs(make_run, 12, 12, with_documents=True)[0]
    examples = read_examples(folder)
    assert examples.clusters.n == 12 and examples.clusters.column == "document"
    write_examples(folder, {"test": (examples.predictions, examples.references)})
    with pytest.raises(RunFolderError, match="the clusters of split 'test' are missing"):
        read_examples(folder)
    arrays = {"test_predictions": examples.predictions, "test_references": examples.references}
    np.savez(folder / EXAMPLES, **arrays, test_clusters=np.zeros(3))
    with pytest.raises(RunFolderError, match=r"the clusters of split 'test' have the shape \(3,\)"):
        read_examples(folder)

"""Exit codes and the words of the helpers that all messages share."""

import pytest

from ft_toolkit.core import errors
from ft_toolkit.core.errors import FtkError, Interrupted, Mistake, RecipeError, UsageError, did_you_mean, one_of


def test_exit_codes_are_those_of_the_docstring():
    codes = {
        name: kind.exit_code
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, FtkError) and kind is not Interrupted
    }
    assert codes == {
        "FtkError": 1,
        "UsageError": 2,
        "RecipeError": 2,
        "DataError": 2,
        "ModelError": 2,
        "ResumeError": 2,
        "FolderInUseError": 2,
        "RunFolderError": 2,
        "AccessError": 2,
        "NotFiniteError": 1,
        "StorageError": 1,
        "LostProcessError": 1,
        "ChildRunError": 1,
        "ReloadError": 1,
        "GateError": 3,
        "HubError": 1,
    }
    assert all(name in (errors.__doc__ or "") for name in codes)


@pytest.mark.parametrize(("signum", "code"), [(2, 130), (15, 143)])
def test_an_interruption_exits_as_the_shell_expects(signum, code):
    error = Interrupted(signum, "stopped at step 3")
    assert (error.exit_code, str(error)) == (code, "stopped at step 3")


def test_a_recipe_error_lists_all_mistakes():
    one = RecipeError([Mistake("a.yaml:3", "training.seed", "found 'x'")])
    two = RecipeError([Mistake("a.yaml:3", "training.seed", "found 'x'"), Mistake("command line", "", "no key")])
    assert str(one) == "1 mistake in the recipe\n  a.yaml:3: training.seed: found 'x'"
    assert str(two) == "2 mistakes in the recipe\n  a.yaml:3: training.seed: found 'x'\n  command line: no key"
    assert len(two.mistakes) == 2
    assert isinstance(two, UsageError)


def test_did_you_mean_names_the_nearest_or_nothing():
    assert did_you_mean("acuracy", ["f1_macro", "accuracy"]) == " Did you mean 'accuracy'?"
    assert did_you_mean("zzz", ["f1_macro", "accuracy"]) == ""
    assert did_you_mean("x", []) == ""
    assert one_of({"a": 1, "b": 2}) == "a, b"


def test_long_lists_are_cut():
    names = [f"n{number}" for number in range(13)]
    assert one_of(names[:11]) == ", ".join(names[:11])
    assert one_of(names) == f"{', '.join(names[:10])} ... and 3 more"
    assert one_of(names, limit=2, more="ftk recipes") == "n0, n1 ... and 11 more (ftk recipes)"


def test_a_long_value_is_cut_in_the_middle_of_its_line():
    message = f"file.csv:3: label: found '{'x' * 10**6}'; write a shorter label\nsecond line"
    first, second = str(UsageError(message)).split("\n")
    assert (
        first.startswith("file.csv:3: label: found 'xxx")
        and first.endswith("'; write a shorter label")
        and second == "second line"
    )
    assert len(first) < 2100 and "characters left out" in first


def test_a_recipe_error_shows_at_most_50_mistakes():
    lines = str(RecipeError([Mistake("a.yaml:1", "x", "wrong")] * 1200)).split("\n")
    assert (lines[0], len(lines), lines[-1]) == ("1,200 mistakes in the recipe", 52, "  ... and 1,150 more")

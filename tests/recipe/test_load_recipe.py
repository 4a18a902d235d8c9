"""Loading recipes: every mistake at once with its source, overrides, round trip, origins, hash."""

import subprocess
import sys

import pytest

from ft_toolkit.core.errors import RecipeError
from ft_toolkit.core.shipped import shipped
from ft_toolkit.recipe.load_recipe import load_recipe
from ft_toolkit.recipe.methods import LoraMethod
from ft_toolkit.tasks import find_tasks

TASKS = find_tasks()

RECIPE = """\
# a comment, so that lines and sections differ
task: text_classification
model: {name: distilbert/distilbert-base-uncased}
data:
  card: sst2
  max_length: 128
method: {name: lora, r: 4, alpha: 8}
training:
  learning_rate: 3e-4
  examples_per_batch: 32
evaluation: {metric_for_best_model: accuracy}
reference: {metric: accuracy, value: 0.9, tolerance: 0.01, source: a paper}
"""


@pytest.fixture
def load(tmp_path):
    def load(text=RECIPE, *overrides):
        path = tmp_path / "my.yaml"
        path.write_text(text, encoding="utf-8")
        return load_recipe(path, overrides, TASKS)

    return load


@pytest.fixture
def mistakes(load, tmp_path):
    """Load an invalid recipe and return {key: (source, problem)}, without the folder of the file."""

    def mistakes(text=RECIPE, *overrides):
        with pytest.raises(RecipeError) as caught:
            load(text, *overrides)
        found = caught.value.mistakes
        assert len({m.key for m in found}) == len(found), f"one key, two mistakes: {found}"
        assert all(str(m) in str(caught.value) for m in found)
        return {m.key: (m.where.replace(f"{tmp_path}/", ""), m.problem.replace(f"{tmp_path}/", "")) for m in found}

    return mistakes


def changed(old, new):
    assert RECIPE.count(old) == 1
    return RECIPE.replace(old, new)


def test_a_recipe_is_read_with_types_and_defaults(load):
    loaded = load()
    recipe = loaded.recipe
    assert loaded.name == "my"
    assert loaded.task is TASKS["text_classification"]
    assert recipe.task.problem_type == "single_label_classification"
    assert recipe.training.learning_rate == 3e-4
    assert recipe.training.examples_per_batch == 32
    assert recipe.training.tokens_per_batch is None
    assert recipe.training.seed == 13
    assert recipe.method == LoraMethod(name="lora", r=4, alpha=8.0)
    assert recipe.reference.value == 0.9


def test_a_recipe_cannot_be_changed(load):
    with pytest.raises(ValueError, match="frozen"):
        load().recipe.training.seed = 1


def test_every_mistake_is_listed_at_once_with_its_source(mistakes):
    found = mistakes(
        """\
task: text_classificaton
model: {name: m, revison: main}
data:
  card: 5
  max_length: 4
  validation: a.csv
  validation_fraction: 0.1
method: {name: lora, r: 0, target_modules: atention}
training:
  learning_rate: fast
  tokens_per_batch: 512
  examples_per_batch: 8
  seed: 3e-4
  momentum: 0.9
evaluation: {baselines: [majority, svm]}
reference: {metric: accuracy, value: 0.9, tolerance: 0.01}
hobby: {}
""",
        "training.mixed_precision=fp16",
        "evaluation.bootstrap_samples=7",
        "nonsense",
    )
    assert {key: where for key, (where, _) in found.items()} == {
        "task": "my.yaml:1",
        "model.revison": "my.yaml:2",
        "data": "my.yaml:3",
        "data.card": "my.yaml:4",
        "data.max_length": "my.yaml:5",
        "method.r": "my.yaml:8",
        "method.target_modules": "my.yaml:8",
        "training": "my.yaml:9",
        "training.learning_rate": "my.yaml:10",
        "training.seed": "my.yaml:13",
        "training.momentum": "my.yaml:14",
        "training.mixed_precision": "command line",
        "evaluation.bootstrap_samples": "command line",
        "reference.source": "my.yaml:16",
        "hobby": "my.yaml:17",
        "": "command line",
    }
    problems = {key: problem for key, (_, problem) in found.items()}
    assert problems["task"].endswith("Did you mean 'text_classification'?")
    assert problems["model.revison"].endswith("Did you mean 'revision'?")
    assert "require local training rows" in problems["data"]
    assert "exclude each other" in problems["data"]
    assert problems["data.card"] == "must be text; found 5. Put it in quotes"
    assert problems["data.max_length"] == "must be greater than or equal to 8; found 4"
    assert problems["method.target_modules"].endswith("Did you mean 'attention'?")
    assert problems["training"].startswith("tokens_per_batch and examples_per_batch exclude each other")
    assert problems["training.learning_rate"] == "must be a valid number, or 'auto'; found 'fast'"
    assert "found 0.0003" in problems["training.seed"]
    assert problems["training.momentum"].startswith("unknown key; allowed: seed, seeds, num_train_epochs")
    assert "must be 'auto', 'no' or 'bf16'; found 'fp16'" in problems["training.mixed_precision"]
    assert problems["reference.source"] == "required; it has no default"
    assert problems[""] == "'nonsense' is not of the form section.key=value, e.g. training.learning_rate=1e-4"


@pytest.mark.parametrize(
    ("old", "new", "key", "expected"),
    [
        (
            "card: sst2",
            "card: sst2\n  learning_rate: 1",
            "data.learning_rate",
            "unknown key; use training.learning_rate",
        ),
        ("card: sst2", "card: sst2\n  labels: [a, b]", "data.labels", "use task.labels"),
        ("card: sst2", "card: sst2\n  r: 3", "data.r", "use method.r"),
        ("evaluation: {", "evaluation: {max_steps: 3, ", "evaluation.max_steps", "use training.max_steps"),
        ("task: text", "seed: 1\ntask: text", "seed", "use training.seed"),
        ("card: sst2", "name: sst2", "data.name", "unknown key; allowed: card,"),
    ],
)
def test_a_key_in_the_wrong_section_is_sent_to_the_right_one(mistakes, old, new, key, expected):
    found = mistakes(changed(old, new))
    assert expected in found[key][1]


@pytest.mark.parametrize("fraction", ["abc", "2", "[0.1]", "-0.1"])
def test_an_invalid_share_of_held_out_rows_has_one_message(mistakes, fraction):
    found = mistakes(RECIPE, f"data.validation_fraction={fraction}", "data.validation=null", "data.max_length=3")
    assert set(found) == {"data.validation_fraction", "data.max_length"}


def test_held_out_rows_leave_training_rows(mistakes):
    fractions = ["data.validation_fraction=0.5", "data.test_fraction=0.5", "data.validation=null", "data.test=null"]
    assert "leave no training rows" in mistakes(RECIPE, *fractions)["data"][1]


def test_one_mistake_in_a_section_does_not_hide_the_next(mistakes):
    found = mistakes(
        RECIPE,
        "evaluation.metric_for_best_model=f1",
        "evaluation.eval_steps=0",
        "data.columns.txt=sentence",
        "data.max_length=many",
        "training.tokens_per_batch=512",
        "training.seed=-1",
        "task.labell=[a, b]",
    )
    assert set(found) == {
        "evaluation.metric_for_best_model",
        "evaluation.eval_steps",
        "data.columns.txt",
        "data.max_length",
        "training",
        "training.seed",
        "task.labell",
    }
    assert found["data.columns.txt"][1].endswith("Did you mean 'text'?")


def test_metric_names_are_those_of_the_task_and_problem_type(load, mistakes):
    found = mistakes(RECIPE, "evaluation.metric_for_best_model=acuracy", "reference.metric=f2_macro")
    assert found["evaluation.metric_for_best_model"][1].endswith("Did you mean 'accuracy'?")
    assert found["reference.metric"][1].endswith("Did you mean 'f1_macro'?")
    found = mistakes(RECIPE, "task.problem_type=regression", "reference=null")
    assert "allowed: pearson, spearman" in found["evaluation.metric_for_best_model"][1]
    ok = load(RECIPE, "task.problem_type=regression", "reference=null", "evaluation.metric_for_best_model=spearman")
    assert ok.recipe.evaluation.metric_for_best_model == "spearman"


@pytest.mark.parametrize(
    ("text", "where", "problem"),
    [
        ("", ":1", "a recipe must be a mapping with the sections task, model, data"),
        ("- task", ":1", "a recipe must be a mapping"),
        ("task: a\ndata: {", ":2", "not a valid recipe: while parsing a flow node"),
        ("task: a\nmodel: {name: b}\ntask: c", ":3", "key 'task' is duplicate (first on line 1)"),
        ("task: a\nmodel: !!python/object:os.system {}", ":2", "tags are not supported"),
        ("task: a\n1: b", ":2", "a key must be text"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused_with_its_line(load, tmp_path, text, where, problem):
    with pytest.raises(RecipeError) as caught:
        load(text)
    (mistake,) = caught.value.mistakes
    assert mistake.where == f"{tmp_path / 'my.yaml'}{where}"
    assert problem in mistake.problem


def test_an_unreadable_file_is_refused(tmp_path):
    (tmp_path / "latin.yaml").write_bytes("task: caf\xe9".encode("latin-1"))
    for path, problem in [("none.yaml", "No such file"), ("", "Is a directory"), ("latin.yaml", "not UTF-8 text")]:
        with pytest.raises(RecipeError, match=problem):
            load_recipe(tmp_path / path, [], TASKS)


@pytest.mark.parametrize("name", ["[a, b]", "{name: [a]}", "5", "{name: 5}", "true"])
@pytest.mark.parametrize("section", ["task", "method"])
def test_a_name_of_the_wrong_type_is_a_mistake(mistakes, section, name):
    found = mistakes(RECIPE, f"{section}={name}")
    assert found[section][0] == "command line"
    assert f"unknown {section}" in found[section][1]


def test_a_section_of_the_wrong_type_is_a_mistake(mistakes):
    found = mistakes(RECIPE, "model=bert", "training=3", "data=[sst2]")
    assert (
        found["model"][1]
        == "must be a section with the keys name, config, tokenizer, revision, sha256, dropout, pooling, resize_embeddings; "
        "found 'bert'"
    )
    assert found["training"][0] == "command line"
    assert found["data"][1].endswith("found ['sst2']")


def test_missing_sections_are_mistakes(mistakes):
    found = mistakes("method: full")
    assert set(found) == {"task", "model", "data"}
    assert found["task"][1] == f"required; allowed: {', '.join(TASKS)}"
    assert all(where == "my.yaml" for where, _ in found.values())


def test_null_and_absent_sections_take_their_defaults(load):
    text = changed("evaluation: {metric_for_best_model: accuracy}\n", "evaluation:\ntracking: {}\n")
    recipe = load(text.replace("method: {name: lora, r: 4, alpha: 8}\n", "method:\n")).recipe
    assert recipe.evaluation.metric_for_best_model is None
    assert recipe.method.name == "full"
    assert recipe.tracking.trackers == []


# Methods


def test_the_shorthand_for_method_and_task(load):
    text = changed("{name: lora, r: 4, alpha: 8}", "lora")
    assert load(text).recipe.method == LoraMethod(name="lora")
    assert load(text, "method.r=2").recipe.method.r == 2
    assert load(text, "task.threshold=0.3").recipe.task.threshold == 0.3
    longer = changed("task: text_classification", "task: {name: text_classification}")
    assert load(longer).recipe == load().recipe


def test_method_full_replaces_a_lora_section(load, mistakes):
    assert load(RECIPE, "method=full").recipe.method.name == "full"
    found = mistakes(RECIPE, "method.name=full")
    assert set(found) == {"method.r", "method.alpha"}
    assert "Write method=NAME to replace the whole section" in found["method.r"][1]


def test_method_settings_without_a_name_are_not_dropped_silently(mistakes):
    found = mistakes(changed("{name: lora, r: 4, alpha: 8}", "{r: 4}"))
    assert found == {"method.name": ("my.yaml:7", "required; allowed: full, lora, dora, ia3, freeze")}
    assert "method.name" in mistakes(changed("method: {name: lora, r: 4, alpha: 8}\n", ""), "method.r=4")


def test_an_unknown_method_gets_a_suggestion(mistakes):
    found = mistakes(RECIPE, "method=lorra")
    assert found["method"] == (
        "command line",
        "unknown method 'lorra'; allowed: full, lora, dora, ia3, freeze. Did you mean 'lora'?",
    )


# The command line


def test_overrides_win_and_the_last_one_most(load):
    recipe = load(
        RECIPE, "training.learning_rate=1e-5", "training.seed=1", "training.seed=2", "data.columns.text=review"
    ).recipe
    assert recipe.training.learning_rate == 1e-5
    assert recipe.training.seed == 2
    assert recipe.data.columns == {"text": "review"}
    assert recipe.data.max_length == 128


def test_an_override_may_be_empty_or_hold_an_equals_sign(load):
    assert load(RECIPE, "data.max_length=64", "reference=").recipe.reference is None
    assert load(RECIPE, "tracking.project=a=b").recipe.tracking.project == "a=b"


@pytest.mark.parametrize("override", ["training", "=3", "training.=3", ".seed=3", "training..seed=3"])
def test_an_override_of_the_wrong_form_is_a_mistake(mistakes, override):
    expected = f"'{override}' is not of the form section.key=value, e.g. training.learning_rate=1e-4"
    assert mistakes(RECIPE, override) == {"": ("command line", expected)}


def test_an_override_that_is_no_yaml_is_a_mistake(mistakes):
    found = mistakes(RECIPE, "data.card=[a", "training.seed=*x")
    assert found["data.card"][1].startswith("'[a' is not a YAML value: ")
    assert found["training.seed"][0] == "command line"


def test_an_override_below_a_value_is_not_lost(mistakes):
    found = mistakes(
        RECIPE, "training.learning_rate.peak=1", "evaluation.baselines=[tfidf]", "evaluation.baselines.0=x"
    )
    assert found["training.learning_rate.peak"] == (
        "command line",
        "'training.learning_rate' is 0.0003 (my.yaml:9) and has no keys; set training.learning_rate=VALUE",
    )
    assert "['tfidf'] (command line)" in found["evaluation.baselines.0"][1]


@pytest.mark.parametrize("override", ["trainig.seed=1", "tracking.projct=x", "data.columns.tekst=a", "lr=3"])
def test_a_mistake_on_the_command_line_has_this_source(mistakes, override):
    (place,) = {where for where, _ in mistakes(RECIPE, override).values()}
    assert place == "command line"


def test_empty_names_are_mistakes(mistakes):
    found = mistakes(RECIPE, "model.name=''", "data.card=''", "data.train=''")
    assert set(found) == {"model.name", "data.card", "data.train"}


def test_numbers_where_text_is_needed_ask_for_quotes(mistakes, load):
    found = mistakes(RECIPE, "task.labels=[0, 1]", "model.revision=1234567")
    assert found["task.labels.0"][1] == "must be text; found 0. Put it in quotes"
    assert "Put it in quotes" in found["model.revision"][1]
    assert load(RECIPE, "task.labels=['0', '1']").recipe.task.labels == ["0", "1"]


@pytest.mark.parametrize("override", ["training.seed=true", "training.seed=1.0", "training.learning_rate='1'"])
def test_other_types_are_not_converted_to_numbers(mistakes, override):
    assert len(mistakes(RECIPE, override)) == 1


@pytest.mark.parametrize("value", [".inf", ".nan", "0", "-1"])
def test_a_learning_rate_is_finite_and_positive(mistakes, value):
    assert "training.learning_rate" in mistakes(RECIPE, f"training.learning_rate={value}")


# The reference


@pytest.mark.parametrize(
    ("overrides", "kept"),
    [
        (["training.seed=1"], True),
        (["data.max_length=64", "data.columns.text=sentence"], True),
        (["method=full"], True),
        (["model.name=other"], False),
        (["model.revision=abc"], False),
        (["model.dropout=0.2"], False),
        (["data.card=banking77"], False),
        (["data.train=a.csv", "data.validation=b.csv"], False),
        (["data.validation_fraction=0.1"], False),
        (["model.name=other", "reference.value=0.8"], True),
    ],
)
def test_a_published_number_is_dropped_with_the_model_or_rows_it_was_for(load, overrides, kept):
    assert (load(RECIPE, *overrides).recipe.reference is not None) == kept


def test_a_dropped_reference_need_not_suit_the_task(load, mistakes):
    text = changed("evaluation: {metric_for_best_model: accuracy}\n", "")
    assert load(text, "model.name=other", "task.problem_type=regression").recipe.reference is None
    assert set(mistakes(text, "task.problem_type=regression")) == {"reference.metric"}


# Round trip, origins, hash


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["method=full", "model.name=other"],
        ["task.labels=['08', '1e5', 'no', 'null', '1:30', ' a', 'é']"],
        ["data.train='3e-4'", "data.columns={text: '010', label: 'true'}", "data.validation_fraction=0.25"],
        ["method.target_modules=[query, value]", "training.learning_rate=1.0e-10", "training.max_grad_norm=null"],
        ["reference.source='a: long # text with \"quotes\", ' ", "tracking.trackers=[tensorboard]"],
        ["training.mixed_precision=no", "evaluation.baselines=[]"],
    ],
)
def test_the_written_recipe_is_read_back_the_same(load, overrides):
    first = load(RECIPE, *overrides)
    second = load(first.to_yaml())
    assert second.recipe == first.recipe
    assert second.recipe.as_dict() == first.recipe.as_dict()
    assert second.recipe.sha256() == first.recipe.sha256()
    assert second.to_yaml() == first.to_yaml()


def test_the_hash_changes_with_every_value_and_not_with_the_spelling(load):
    same = load(changed("learning_rate: 3e-4", "learning_rate: 0.00030"), "training.seed=13")
    assert same.recipe.sha256() == load().recipe.sha256()
    assert load(RECIPE, "training.seed=14").recipe.sha256() != same.recipe.sha256()


def test_origins_of_all_values(load, tmp_path):
    loaded = load(RECIPE, "training.seed=5", "data.columns.text=a", "method.dropout=0.1")
    path = tmp_path / "my.yaml"
    origins = loaded.origins
    assert origins["task.name"] == f"{path}:2"
    assert origins["task.problem_type"] == "default"
    assert origins["data.card"] == f"{path}:5"
    assert origins["data.columns"] == "command line"
    assert origins["method.r"] == f"{path}:7"
    assert origins["method.dropout"] == "command line"
    assert origins["training.seed"] == "command line"
    assert origins["training.weight_decay"] == "default"
    values = loaded.recipe.as_dict()
    assert set(origins) == {f"{section}.{key}" for section in values for key in values[section] or {}}


def test_a_shorthand_has_an_origin_too(load, tmp_path):
    origins = load(changed("{name: lora, r: 4, alpha: 8}", "lora"), "method.r=2").origins
    assert origins["method.name"] == f"{tmp_path / 'my.yaml'}:7"
    assert origins["method.r"] == "command line"
    assert load(RECIPE, "method=full").origins["method.name"] == "command line"


# Shipped recipes, and what a wrong one costs


@pytest.mark.parametrize("path", sorted(shipped("recipes").rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_recipe_loads_and_begins_with_its_command(path):
    loaded = load_recipe(path, [], TASKS)
    relative = path.relative_to(shipped("recipes").parent)
    assert path.read_text(encoding="utf-8").splitlines()[0].endswith(f"ftk run {relative}")
    assert loaded.name == path.stem


def test_a_wrong_recipe_fails_before_torch_is_imported(tmp_path):
    (tmp_path / "wrong.yaml").write_text("task: text_classification\nmodel: {nam: x}\n", encoding="utf-8")
    code = (
        "import sys, pathlib\n"
        "from ft_toolkit.recipe.load_recipe import load_recipe\n"
        "from ft_toolkit.core.errors import RecipeError\n"
        "from ft_toolkit.tasks import find_tasks\n"
        "try:\n"
        "    load_recipe(pathlib.Path(sys.argv[1]), [], find_tasks())\n"
        "except RecipeError as error:\n"
        "    heavy = {'torch', 'transformers', 'datasets', 'evaluate', 'sklearn', 'pandas', 'pyarrow'} & set(sys.modules)\n"
        "    print(len(error.mistakes), sorted(heavy))\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "wrong.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "3 []"


def test_an_unknown_baseline_lists_the_baselines_of_the_task(mistakes):
    found = mistakes(RECIPE, "evaluation.baselines=[majority, tf_idf]", "task.lables=[a]")
    assert found.pop("task.lables")  # a mistake in one section does not hide the other
    problem = "text_classification has no baseline 'tf_idf'; allowed: majority, tfidf, frozen_embeddings. Did you mean 'tfidf'?"
    assert found == {"evaluation.baselines.1": ("command line", problem)}


def test_words_that_the_shell_split_are_put_together(mistakes):
    for words in (["training.learning_rate", "1e-4"], ["training.learning_rate", "=", "1e-4"]):
        found = mistakes(RECIPE, *words)
        problem = "'training.learning_rate' is not of the form section.key=value; write training.learning_rate=1e-4"
        assert found == {"": ("command line", problem)}


def test_a_long_list_of_keys_is_cut(mistakes):
    problem = mistakes(RECIPE, "training.lerning_rate=1")["training.lerning_rate"][1]
    assert problem.startswith("unknown key; allowed: seed, seeds, num_train_epochs, ")
    assert problem.endswith(" more. Did you mean 'learning_rate'?")
    assert problem.count(",") < 10


def test_a_data_set_on_the_hub_excludes_a_card(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("task: text_classification\nmodel: {name: x}\ndata: {card: sst2, hub: a/b@main, hub_config: c}\n")
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, ["training.examples_per_batch=2"], TASKS)
    assert "data: card and hub exclude each other" in str(caught.value)
    loaded = load_recipe(path, ["training.examples_per_batch=2", "data.hub=a/b@v1"], TASKS)
    assert (loaded.recipe.data.card, loaded.recipe.data.hub) == (None, "a/b@v1")
    with pytest.raises(RecipeError, match=r"data\.hub: found 'a/b/c'; a Hub id is required"):
        load_recipe(path, ["training.examples_per_batch=2", "data.hub=a/b/c"], TASKS)


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("#1 String", "#1 String"),
        ("2", "2"),
        ("a: b", "a: b"),
        ("@x", "@x"),
        ("yes", "yes"),
        ("'#1'", "#1"),
        ("[a, b]", ["a", "b"]),
        ("Text (en)", "Text (en)"),
    ],
)
def test_the_name_of_a_column_on_the_command_line_may_hold_any_character(tmp_path, text, column):
    path = tmp_path / "r.yaml"
    path.write_text("task: text_classification\nmodel: {name: x}\ndata: {train: x.csv, validation: x.csv}\n")
    loaded = load_recipe(path, ["training.examples_per_batch=2", f"data.columns.label={text}"], TASKS)
    assert loaded.recipe.data.columns == {"label": column}

"""The settings in which recipes differ."""

from ft_toolkit.evaluation.compare.recipe_differences import NOT_SET, SettingDifference, recipe_differences


def test_settings_that_differ_are_listed_in_dotted_form():
    first = {
        "method": {"name": "full"},
        "data": {"columns": {"text": "review"}},
        "evaluation": {"baselines": ["majority"]},
    }
    second = {"method": {"name": "lora", "r": 8}, "data": {"columns": {}}, "evaluation": {"baselines": None}}
    assert recipe_differences([first, second]) == [
        SettingDifference("method.name", ("full", "lora")),
        SettingDifference("data.columns.text", ("review", NOT_SET)),
        SettingDifference("evaluation.baselines", ("[majority]", "null")),
        SettingDifference("method.r", (NOT_SET, "8")),
    ]


def test_equal_recipes_and_reporting_settings_are_not_listed():
    recipes = [{"training": {"seed": 5}, "hub": {"repo": name}, "tracking": {"project": name}} for name in "ab"]
    assert recipe_differences(recipes) == []


def test_an_evaluation_without_a_recipe_is_not_compared():
    seeds = [{"training": {"seed": 5}}, None, {"training": {"seed": 6}}]
    assert recipe_differences(seeds) == [SettingDifference("training.seed", ("5", NOT_SET, "6"))]
    assert recipe_differences(seeds[:2]) == []

from pathlib import Path

import pytest

from unbraid import catalogue, recipes
from unbraid.catalogue import Model
from unbraid.errors import UnbraidError
from unbraid.recipes import Ensemble, Term, compile_recipe

HOME = Path(__file__).parents[2]
MODELS = {
    name: Model(name=name, backend="identity", architecture="", description="", stems=stems, licence="CC0")
    for name, stems in {"four": ("drums", "bass", "other", "vocals"), "same": ("copy",)}.items()
}
STEMS = MODELS["four"].stems
MIX = Term()


def find(name):
    return catalogue.find(MODELS, name)


def written(steps, **stems):
    return {"steps": steps, "stems": stems or {"x": "mix"}}


def test_the_shipped_recipes_compile():
    shipped = recipes.load([HOME / "config/recipes.yaml"])
    models = catalogue.load([HOME / "config/models.yaml"])
    made = {name: compile_recipe(name, entry, models.__getitem__) for name, entry in shipped.items()}
    assert list(made["stems"].stems) == ["vocals", "drums", "bass", "other", "instrumental"]
    assert list(made["karaoke"].stems) == ["vocals", "instrumental"]
    assert {"guitar", "piano"} <= set(made["six_stems"].stems)


def test_a_stem_is_a_sum_of_outputs_and_the_mix():
    steps = {"a": {"model": "four", "input": "mix"}}
    made = compile_recipe(
        "r", written(steps, karaoke="mix - a.vocals", rhythm="a.drums+a.bass", less="-a.bass + mix"), find
    )
    assert made.stems["karaoke"] == {MIX: 1, Term("a", "vocals"): -1}
    assert made.stems["rhythm"] == {Term("a", "drums"): 1, Term("a", "bass"): 1}
    assert made.stems["less"] == {Term("a", "bass"): -1, MIX: 1}


def test_a_residual_is_the_input_minus_the_outputs_also_down_a_chain():
    steps = {
        "second": {"model": "same", "input": "first.residual"},
        "first": {"model": "four", "input": "mix"},
    }
    made = compile_recipe("r", written(steps, rest="second.residual"), find)
    assert [step.name for step in made.steps] == ["first", "second"]
    residual = {MIX: 1, **{Term("first", stem): -1 for stem in STEMS}}
    assert made.steps[1].input == residual
    assert made.stems["rest"] == {**residual, Term("second", "copy"): -1}


def test_steps_may_have_names_that_begin_with_mix():
    steps = {"mixed": {"model": "same", "input": "mix"}, "mix2": {"model": "same", "input": "mixed.copy"}}
    made = compile_recipe("r", written(steps, x="mix - mixed.copy + mix2.copy"), find)
    assert made.stems["x"] == {MIX: 1, Term("mixed", "copy"): -1, Term("mix2", "copy"): 1}


def test_what_cancels_out_is_gone():
    steps = {"a": {"model": "same", "input": "mix"}}
    assert compile_recipe("r", written(steps, x="mix - a.copy + a.copy"), find).stems["x"] == {MIX: 1}


def test_an_ensemble_is_one_stem_of_several_expressions_and_can_be_used_like_one():
    steps = {
        "v": {"ensemble": ["a.vocals", "mix - b.copy"], "weights": [1, 2]},
        "a": {"model": "four", "input": "mix"},
        "b": {"model": "same", "input": "mix"},
        "c": {"model": "same", "input": "mix - v"},
    }
    made = compile_recipe("r", written(steps, vocals="v", rest="mix - v"), find)
    assert [step.name for step in made.steps] == ["a", "b", "v", "c"]
    vocals = {Term("v", "ensemble"): 1}
    assert made.steps[2] == Ensemble(
        "v", ({Term("a", "vocals"): 1}, {MIX: 1, Term("b", "copy"): -1}), "average", (1, 2)
    )
    assert made.steps[3].input == {MIX: 1, Term("v", "ensemble"): -1}
    assert made.stems == {"vocals": vocals, "rest": {MIX: 1, Term("v", "ensemble"): -1}}
    assert made.models == {"a": "four", "b": "same", "c": "same"}


A_AND_B = {"a": {"model": "four", "input": "mix"}, "b": {"model": "four", "input": "mix"}}


@pytest.mark.parametrize(
    ("ensemble", "message"),
    [
        ({"ensemble": "a.vocals"}, "'v' is no ensemble of two or more stems"),
        ({"ensemble": ["a.vocals"]}, "'v' is no ensemble of two or more stems"),
        ({"ensemble": ["a.vocals", "b.vocal"]}, "b.vocal, which does not exist. Did you mean 'vocals'?"),
        ({"ensemble": ["a.vocals", "b"]}, "does not say which stem of 'b'"),
        ({"ensemble": ["a.vocals", "v"]}, "needs itself (v ← v)"),
        (
            {"ensemble": ["a.vocals", "b.vocals"], "method": "avrage"},
            "unknown method 'avrage'. Did you mean 'average'?",
        ),
        ({"ensemble": ["a.vocals", "b.vocals"], "weights": [1]}, "one weight above zero for each stem"),
        ({"ensemble": ["a.vocals", "b.vocals"], "weights": [1, 0]}, "one weight above zero for each stem"),
        ({"ensemble": ["a.vocals", "b.vocals"], "weights": [1, True]}, "one weight above zero for each stem"),
        ({"ensemble": ["a.vocals", "b.vocals"], "weights": 3}, "one weight above zero for each stem"),
        ({"ensemble": ["a.vocals", "b.vocals"], "method": "max", "weights": [1, 2]}, "weights, which the method 'max'"),
        ({"ensemble": ["a.vocals", "b.vocals"], "weight": [1, 2]}, "unknown key 'weight'. Did you mean 'weights'?"),
    ],
)
def test_a_wrong_ensemble_is_an_error_that_names_recipe_and_step(ensemble, message):
    with pytest.raises(UnbraidError) as caught:
        compile_recipe("r", written({**A_AND_B, "v": ensemble}, vocals="v"), find)
    assert "'r'" in str(caught.value)
    assert message in str(caught.value)


def test_an_ensemble_has_no_stems_of_its_own():
    steps = {**A_AND_B, "v": {"ensemble": ["a.vocals", "b.vocals"]}}
    with pytest.raises(UnbraidError, match=r"v\.residual, but 'v' is an ensemble, which is one stem. Write v alone"):
        compile_recipe("r", written(steps, rest="v.residual"), find)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (written({"a": {"input": "mix"}}), "'a' lacks 'model'. A step has a model and an input, or is an ensemble."),
        (written({"a": {"model": "fuor", "input": "mix"}}), "There is no model 'fuor' in the catalogue. Did you mean 'four'?"),
        (written({"a": {"model": "four", "input": "b.vocals"}}), "Recipe 'r': 'a' refers to an unknown step 'b'"),
        (written({"a": {"model": "four", "input": "mix"}}, v="a.vocal"), "a.vocal, which does not exist. Did you mean 'vocals'?"),
        (written({"a": {"model": "four", "input": "mix +"}}), "'a' has an expression that cannot be read"),
        (written({"a": {"model": "four", "input": "mix"}}, v="2 * mix"), "Write it like"),
        (written({"a": {"model": "same", "input": "b.copy"}, "b": {"model": "same", "input": "a.copy"}}), "needs itself (a ← b ← a)"),
        (written({"mix": {"model": "same", "input": "mix"}}), "'mix' is not a name for a step"),
        (written({"a": {"model": "same", "input": "mix"}}, **{"a/b": "mix"}), "'a/b' is not a name for a stem"),
        (written({"a": {"model": "same", "imput": "mix"}}), "Did you mean 'input'?"),
        (written({"a": {"model": "same"}}), "lacks 'input'"),
        ({"steps": {}}, "lacks 'stems'"),
        (written({"a": {"model": "same", "input": "mix"}}, v="mix - mix"), "'v' comes to nothing (mix - mix)"),
        ("text", "is not a table"),
        (["a"], "is not a table"),
        ({"steps": ["a"], "stems": {"x": "mix"}}, "steps is not a table"),
        ({"steps": {"a": "identity"}, "stems": {"x": "mix"}}, "step 'a' is not a table"),
        ({"steps": {"a": {"model": "same", "input": "mix"}}, "stems": None}, "stems is not a table"),
        (written({"a": {"model": ["same"], "input": "mix"}}), "There is no model"),
    ],
)  # fmt: skip
def test_a_wrong_recipe_is_an_error_that_names_recipe_and_place(entry, message):
    with pytest.raises(UnbraidError) as caught:
        compile_recipe("r", entry, find)
    assert "'r'" in str(caught.value)
    assert message in str(caught.value)


def test_a_recipe_that_could_not_name_a_file_is_refused():
    with pytest.raises(UnbraidError, match="not a name for a recipe"):
        compile_recipe("../x", written({"a": {"model": "same", "input": "mix"}}), find)


def test_an_unknown_recipe_gets_a_suggestion():
    with pytest.raises(UnbraidError, match="Did you mean 'stems'"):
        recipes.find({"stems": {}, "identity": {}}, "stem")


def test_a_later_file_adds_and_replaces(tmp_path):
    (tmp_path / "1.yaml").write_text("a: {stems: 1}\nb: {stems: 2}")
    (tmp_path / "2.yaml").write_text("b: {stems: 3}")
    (tmp_path / "3.yaml").write_text("")
    found = recipes.load([tmp_path / f"{number}.yaml" for number in (1, 2, 3)])
    assert found == {"a": {"stems": 1}, "b": {"stems": 3}}

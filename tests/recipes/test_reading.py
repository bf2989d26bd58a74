"""What recipes refuse and in which words; options; switches."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from renalis.errors import InputError
from renalis.model_header import SystemHeader
from renalis.recipes import load_system, names, published, stored_system
from renalis.recipes.reading import find_recipe
from renalis.recipes.text import recipe_text
from renalis.systems.runs import packed_system
from renalis.tuning.trials import full_text

REFUSED = [
    ("optimisation.learing_rate=1", "no field 'optimisation.learing_rate'; did you mean"),
    ("optimisation.learning_rate.x=1", "optimisation.learning_rate is a single value"),
    ("dataset.synthetic.share=1", "dataset.synthetic is not set, give it whole"),
    ("loss.tversky.weight=1", "loss has no item 'tversky'"),
    ("optimisation.learning_rate=-1", "optimisation.learning_rate"),
    ("optimisation.learning_rate=[1", "not valid YAML"),
    ("optimisation.batch=4", "the sampler draws 2 patches a step"),
    ("optimisation.schedule={kind: step, epochs: 3}", "schedule.step.gamma' is missing"),
    ("network={name: unet4d}", "network"),
    ("prediction.grid=mm9", "no grid 'mm9'"),
    ("grids.mm3.clip_hu=[5, 5]", "clip_hu must rise"),
    ("grids.mm3.slice_size=5", "belong to kind native2d"),
    ("split={kind: holdout, train: 0.5, val: 0.1, test: 0.1, seed: 0}", "add to 1"),
    ("split.fold=5", "fold must be below 5"),
    ("optimisation.micro_batch=4", "multiple of micro_batch"),
    ("augmentation.transforms.noise.nois=1", "no field"),
    ("seed", "key=value"),
    ("seed=-1", "field seed: input should be greater than or equal to 0"),
    ("seed=4294967296", "field seed: input should be less than 4294967296"),
    ("split.seed=-1", "split.kfold.seed: input should be greater than or equal to 0"),
    ("optimisation.stop={epochs: 3, epochs: 4}", "the key 'epochs' is there twice"),
]

CODE_OPTIONS = [
    ("resnet34-2d", "stages.kidney.target=kidney"),
    ("resnet34-2d", "stages.tumor.input_mask.fill=min"),
    ("resnet34-2d", "stages.tumor.input_mask.training=out_of_fold"),
    ("resnet34-2d", "stages.tumor.input_mask.folds=3"),
    ("resnet34-2d", "grids.slices.clip_hu=[20, 45]"),
    ("quicknat-2d", "network.activation=relu"),
    ("quicknat-2d", "grids.slices.weight_map.division=floor"),
    ("unet3d-residual", "loss.1.mode=hard"),
    ("unet3d-residual", "optimisation.schedule.cooldown=5"),
    ("unet3d-residual", "network.share_repeats=false"),
    ("unet3d-residual", "grids.mm3.label=linear_truncated"),
    ("unet3d-residual", "grids.mm3.crop_end=dropped"),
    ("unet3d-residual", "grids.mm3.fill=zero"),
    ("unet3d-residual", "sampler.coverage=code"),
    ("unet3d-residual", "prediction.restore=label_nearest"),
    ("cascade3d", "network.mask_input=concat"),
    ("cascade3d", "network.last_fc=128"),
    ("cascade3d", "loss.0.ranks=unweighted"),
    ("cascade3d", "grids.mm4.low_pass=0.5"),
    ("cascade3d", "network.norm=group"),
]

WISHES = [
    ("resnet34-2d", "prediction.planes=[axial, coronal, sagittal]"),
    ("simple-unet-2d", "sampler.planes=[axial, coronal, sagittal]"),
    ("resnet34-2d", "dataset.synthetic={folder: made, share: 0.5}"),
    ("quicknat-2d", "postprocessing=[{rule: opening, region: renal, radius_mm: 2}]"),
    ("quicknat-2d", "postprocessing=[{rule: closing, region: renal, radius_mm: 2}]"),
    ("quicknat-2d", "dataset.tumor_free=drop"),
    (
        "unet3d-residual",
        "loss=[{term: tversky, weight: 1, regions: [[2]], alpha: 0.3, beta: 0.7}]",
    ),
    ("unet3d-residual", "loss=[{term: focal, weight: 1, gamma: 2}]"),
    ("unet3d-residual", "network.deep_supervision=2"),
    ("unet3d-residual", "optimisation.deep_weights=[0.5, 0.25]"),
    ("unet3d-residual", "sampler.hard_negatives={share: 0.5, from_epoch: 10}"),
    ("unet3d-residual", "network.attention=true"),
    (
        "unet3d-residual",
        "stages=[{name: both}, {name: tumor, target: tumor, input_mask: {stage: both}, network: "
        "{name: unet3d, variant: plain, in_channels: 1, out_channels: 2, base: 30, "
        "max_channels: 320, levels: 6}, loss: "
        "[{term: ce, weight: 1.0}]}]",
    ),
]


@pytest.mark.parametrize(("change", "words"), REFUSED)
def test_changes_that_cannot_be_are_refused_in_one_sentence(change: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        load_system("unet3d-residual", (change,))
    message = str(caught.value)
    assert words in message
    assert "\n" not in message


@pytest.mark.parametrize(("name", "change"), CODE_OPTIONS + WISHES)
def test_options_change_the_recipe(name: str, change: str) -> None:
    assert load_system(name, (change,)) != load_system(name)


def test_unknown_fields_in_a_file_are_refused(tmp_path: Path) -> None:
    text = find_recipe("quicknat-2d").read_text(encoding="utf-8")
    path = tmp_path / "mine.yaml"
    path.write_text(text + "\nlearning_rat: 1\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"mine.yaml: there is no field 'learning_rat'$"):
        load_system(str(path))
    path.write_text(text.replace("  threshold: 0.5 ", "  treshold: 0.5 "), encoding="utf-8")
    with pytest.raises(InputError, match=r"no field 'prediction.slices.treshold'"):
        load_system(str(path))
    path.write_text("- 1\n", encoding="utf-8")
    with pytest.raises(InputError, match="holds no fields"):
        load_system(str(path))
    path.write_text("a: [\n", encoding="utf-8")
    with pytest.raises(InputError, match="not valid YAML"):
        load_system(str(path))


def test_a_key_that_is_there_twice_is_refused_with_both_lines(tmp_path: Path) -> None:
    text = find_recipe("quicknat-2d").read_text(encoding="utf-8")
    path = tmp_path / "mine.yaml"
    path.write_text(text + "\nseed: 7\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"mine.yaml.*the key 'seed' is there twice, in lines \d+"):
        load_system(str(path))
    path.write_text(text.replace("  threshold: 0.5 ", "  grid: x\n  threshold: 0.5 "), "utf-8")
    with pytest.raises(InputError, match="the key 'grid' is there twice"):
        load_system(str(path))


@pytest.mark.parametrize("name", ["cascade3d", "multires3d"])
def test_tiles_that_would_overlap_are_refused_and_an_old_recipes_stride_is_read(
    name: str, tmp_path: Path
) -> None:
    path = tmp_path / "mine.yaml"
    text = find_recipe(name).read_text(encoding="utf-8")
    text = text.replace("tiny:", "tiny:\n  prediction.stride: 12")
    path.write_text(text.replace("kind: tiles", "kind: tiles\n  stride: 10"), encoding="utf-8")
    with pytest.raises(InputError, match="stride 10 differs from output 20"):
        load_system(str(path))
    path.write_text(text.replace("kind: tiles", "kind: tiles\n  stride: 20"), encoding="utf-8")
    assert load_system(str(path)).prediction == load_system(name).prediction
    assert load_system(str(path), tiny=True) == load_system(name, tiny=True)


def test_a_flat_affine_is_refused_where_it_would_turn_about_every_axis() -> None:
    flat = "augmentation.transforms.affine.dimensions=2"
    with pytest.raises(InputError, match="together with elastic in stage 'main'"):
        load_system("cascade3d", (flat,))
    alone = "augmentation.transforms=[{name: affine, dimensions: 2, rotation_deg: 5}]"
    with pytest.raises(InputError, match="of paired patches in stage 'main'"):
        load_system("cascade3d", (alone,))
    elastic = "{name: elastic, control_points: 5, sigma_mm: [1, 2]}"
    both = f"augmentation.transforms=[{{name: affine, dimensions: 2, rotation_deg: 5}}, {elastic}]"
    load_system("unet3d-plain", (both,))  # each copy has one of them alone
    with pytest.raises(InputError, match="together with elastic"):
        load_system("unet3d-plain", (both, "augmentation.copies=0"))


def test_a_missing_recipe_is_told_with_the_nearest_name() -> None:
    with pytest.raises(InputError, match="did you mean 'unet3d-residual'"):
        load_system("unet3d-residul")
    with pytest.raises(InputError, match="known are cascade3d, "):
        load_system("nothing at all")


def test_the_shipped_model_is_a_recipe_like_the_others() -> None:
    assert set(names()) - set(published()) == {"renalis-kidney"}
    shipped = load_system("renalis-kidney")
    assert [stage.name for stage in shipped.all_stages()] == ["coarse", "fine"]
    assert shipped.coarse_to_fine
    assert shipped.synthetic_alone
    assert not load_system("renalis-kidney", fine_tuning=True).synthetic_alone


SHIPPED_REFUSED = [
    ("sampler.patch=[1, 2]", "patch"),
    ("stages.nothing.sampler=1", "no item 'nothing'"),
    ("sampler.mix={synthetic: 0.5}", "the shares must add to 1"),
    ("sampler.rendering=null", "synthetic patches need the section rendering"),
    ("bodies=null", "synthetic patches need the section bodies"),
    ("stages.fine.sampler.rendering.phases=[0.5, 0.5, 0.5, -0.5]", "phases"),
    ("optimisation.micro_batch=2", "set optimisation.micro_batch to 1"),
    ("optimisation.precision=float32", "the same optimisation.precision"),
    ("thresholds.tumor_sure=1.5", "thresholds.tumor_sure"),
    ("thresholds.tumor_shure=0.5", "did you mean"),
    ("target=kidney_tumor", "3 classes with background"),
    ("stages=[]", "the stages coarse and fine"),
    (
        "dataset.synthetic={folder: made, share: 0.5}",
        "sampler.mix says what is synthetic, not dataset",
    ),
    ("grids.mm4.normalize=training_zscore", "normalized by sub and div alone"),
    ("augmentation.copies=2", "neither augmented copies nor an input mask"),
    ("grids.mm4.low_pass=0.5", "image average is for kind resample without low_pass"),
]


@pytest.mark.parametrize(("change", "words"), SHIPPED_REFUSED)
def test_a_shipped_recipe_that_cannot_be_is_refused(change: str, words: str) -> None:
    with pytest.raises(InputError, match=re.escape(words)):
        load_system("renalis-kidney", (change,))


def test_thresholds_are_for_two_passes_alone() -> None:
    with pytest.raises(InputError, match="for predictions coarse_to_fine"):
        load_system("unet3d-plain", ("thresholds={tumor_sure: 0.5}",))


@pytest.mark.parametrize("name", names())
def test_what_a_run_stores_is_the_recipe(name: str, tmp_path: Path) -> None:
    recipe = load_system(name)
    (tmp_path / "recipe.json").write_text(recipe.model_dump_json(), encoding="utf-8")
    assert stored_system(tmp_path) == recipe


def test_a_run_of_the_earlier_engine_is_refused_in_one_sentence(tmp_path: Path) -> None:
    old = {"name": "renalis-kidney", "seed": 1, "held_back": {}, "bodies": {}, "stages": []}
    (tmp_path / "recipe.json").write_text(json.dumps(old), encoding="utf-8")
    with pytest.raises(InputError, match="was trained by an earlier version of renalis") as caught:
        stored_system(tmp_path)
    assert "\n" not in str(caught.value)


def test_fields_that_recipes_once_had_do_no_harm_in_a_run(tmp_path: Path) -> None:
    recipe = load_system("resnet34-2d")
    content = recipe.model_dump(mode="json")
    content["dataset"]["annotation"] = "aggregated_MAJ_seg"
    content["evaluation"]["also_without_far_slices"] = False
    (tmp_path / "recipe.json").write_text(json.dumps(content), encoding="utf-8")
    assert stored_system(tmp_path) == recipe


def test_fields_that_recipes_once_had_do_no_harm_in_a_model_file(tmp_path: Path) -> None:
    recipe = load_system("resnet34-2d")
    content = recipe.model_dump(mode="json")
    content["dataset"]["annotation"] = "aggregated_MAJ_seg"
    header = SystemHeader.model_construct(recipe=content, needs=())
    assert packed_system(tmp_path / "model.safetensors", header) == recipe
    assert header.recipe["dataset"]["annotation"] == "aggregated_MAJ_seg"  # stays what it was


def test_fields_that_recipes_once_had_do_no_harm_in_a_search(tmp_path: Path) -> None:
    text = find_recipe("resnet34-2d").read_text(encoding="utf-8")
    old = tmp_path / "mine.yaml"
    old.write_text(text.replace("dataset:\n", "dataset:\n  annotation: MAJ\n"), encoding="utf-8")
    recipe = load_system("resnet34-2d")
    assert full_text(str(old), (), False, recipe) == old.read_text(encoding="utf-8")


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not the folder of a training"):
        stored_system(tmp_path)
    (tmp_path / "recipe.json").write_text("[]", encoding="utf-8")
    with pytest.raises(InputError, match="not the folder of a training"):
        stored_system(tmp_path)


def test_a_damaged_recipe_of_a_run_is_told_in_one_sentence(tmp_path: Path) -> None:
    content = load_system("resnet34-2d").model_dump(mode="json")
    content["optimisation"]["batch"] = -1
    path = tmp_path / "recipe.json"
    for damage in (json.dumps(content), json.dumps(content)[:-40], "", "[]"):
        path.write_text(damage, encoding="utf-8")
        with pytest.raises(InputError, match=r"recipe.json") as caught:
            stored_system(tmp_path)
        assert "\n" not in str(caught.value)
        assert "http" not in str(caught.value)


def test_changes_come_after_the_tiny_variant() -> None:
    recipe = load_system("unet3d-plain", ("optimisation.stop.epochs=3",), tiny=True)
    assert recipe.optimisation.stop.epochs == 3
    assert recipe.network.config()["base"] == 4


def test_powers_of_ten_without_a_point_are_numbers() -> None:
    assert load_system("cascade3d", ("optimisation.eps=1e-7",)).optimisation.eps == 1e-7


def test_switches_off_leave_the_base_network() -> None:
    off = tuple(
        f"switches.{s}=false"
        for s in ("multires", "augment", "topk", "spatial_dropout", "postprocess")
    )
    base, full = load_system("multires3d", off), load_system("multires3d")
    assert base.network.config()["multires"] is False
    assert base.network.config()["dropout"] == 0
    assert base.augmentation.transforms == ()
    assert {term.output for term in base.loss} == {"seg"}
    assert all(getattr(term, "top_k", None) is None for term in base.loss)
    assert base.postprocessing == ()
    assert base.prediction.model_dump()["gate"] is None
    # The same patches in the same order for every member of the ablation.
    assert (base.sampler, base.split, base.seed) == (full.sampler, full.split, full.seed)


@pytest.mark.parametrize("switch", ["augment", "topk", "spatial_dropout", "postprocess"])
def test_one_switch_touches_one_thing(switch: str) -> None:
    full = load_system("multires3d").model_dump()
    one = load_system("multires3d", (f"switches.{switch}=false",)).model_dump()
    touched = {section for section in full if full[section] != one[section]} - {"switches"}
    expected = {
        "augment": {"augmentation"},
        "topk": {"loss"},
        "spatial_dropout": {"network"},
        "postprocess": {"postprocessing", "prediction"},
    }
    assert touched == expected[switch]


def test_rounds_end_with_the_low_resolution_network() -> None:
    alone = load_system("cascade3d", ("switches.multires=false",)).optimisation
    assert alone.rounds == ()
    assert (alone.stop.patience, alone.stop.epochs) == (10, 28)


def test_stages_must_refer_to_earlier_ones() -> None:
    with pytest.raises(InputError, match="no earlier stage 'tumor'"):
        load_system("resnet34-2d", ("stages.tumor.input_mask.stage=tumor",))
    with pytest.raises(InputError, match="two stages are called 'kidney'"):
        load_system("resnet34-2d", ("stages=[{name: kidney}, {name: kidney}]",))


@pytest.mark.parametrize(
    ("recipe", "change", "words"),
    [
        (
            "unet3d-plain",
            "stages=[{name: both}, {name: tumor, target: tumor, input_mask: {stage: both}}]",
            "2 classes with background, but a network of 3",
        ),
        ("simple-unet-2d", "target=kidney_tumor", "3 classes with background, but a network of 1"),
        ("resnet34-2d", "stages.tumor.grids.slices.slice_size=128", "another slice_size"),
    ],
)
def test_stages_must_fit_their_target_and_their_mask(recipe: str, change: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        load_system(recipe, (change,))


def test_recipes_of_earlier_versions_are_refused_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    text = recipe_text("resnet34-2d")
    path.write_text(text.replace("\nstages:", "\nphases:"))
    with pytest.raises(InputError, match="recipe of an earlier version; begin with a new copy"):
        load_system(str(path))

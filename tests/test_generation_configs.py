"""The packaged methods of generation: one set of losses for both networks, the published code's numbers, studies."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from unlearnkit.models.denoising_networks import diffusion_shape_names
from unlearnkit.packaged import CONFIGS, config_names

ROOT = CONFIGS.parent.parent
SMALL, PAPERS = ("ddpm", "dit"), ("ddpm_cifar10", "dit_imagenet")
STUDIES = ("generation_ddpm_search", "generation_ddpm", "generation_dit")


def read(name: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return a packaged file's arguments of the module and of the data, and its trainer section."""
    found = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())
    return found["model"]["init_args"], found["data"]["init_args"], found["trainer"]


def methods(folder: str) -> set[str]:
    """Return the names of a folder's files."""
    return {path.stem for path in (CONFIGS / folder).glob("*.yaml")}


def test_both_networks_have_the_methods_of_the_issue() -> None:
    paper = {f"{base}{end}" for base in ("salun", "sfron") for end in ("", "_dual_optim", "_dual_optim_plus")}
    both = paper | {"finetune", "ga", "gdiff", "ngdiff", "ngdiff_gen"}
    assert methods("dit") == both
    assert methods("ddpm") == both | {"sa", "quickstart"}
    assert methods("dit_imagenet") == paper | {"finetune"}
    assert methods("ddpm_cifar10") == paper | {"finetune", "sa"}


@pytest.mark.parametrize("folder", SMALL + PAPERS)
def test_all_files_of_a_folder_have_one_network_and_one_data_set(folder: str) -> None:
    names = [f"{folder}/{stem}" for stem in sorted(methods(folder) - {"quickstart"})]
    networks = [read(name)[0]["model"] for name in names]
    assert all(network == networks[0] for network in networks)
    sources = {str((own["source"], own.get("forget"))) for own in (read(name)[1] for name in names)}
    assert len(sources) == 1


@pytest.mark.parametrize("folder", SMALL + PAPERS)
@pytest.mark.parametrize("base", ["salun", "sfron"])
def test_dual_optimizers_change_how_is_stepped_and_no_loss(folder: str, base: str) -> None:
    one = read(f"{folder}/{base}")
    for end, optimizer in (("_dual_optim", "DualOptim"), ("_dual_optim_plus", "DualOptimPlus")):
        other = read(f"{folder}/{base}{end}")
        assert one[0]["forget"]["class_path"] == other[0]["forget"]["class_path"]
        assert one[0]["retain"] == other[0]["retain"]
        assert one[2]["callbacks"][0] == other[2]["callbacks"][0], "the same mask"
        assert (other[0]["strategy"]["class_path"], other[0]["optimizer"]["class_path"]) == (
            "Alternate",
            optimizer,
        )


@pytest.mark.parametrize(
    ("folder", "against"), list(zip(SMALL + PAPERS, ["prediction", "noise"] * 2, strict=True))
)
def test_the_wrong_class_is_as_in_the_code_of_each_network(folder: str, against: str) -> None:
    for end in ("", "_dual_optim", "_dual_optim_plus"):
        module, _, trainer = read(f"{folder}/salun{end}")
        wrong = module["forget"]["init_args"]
        assert (wrong["target"], wrong["against"]) == ("next", against)
        assert wrong.get("shift", 1) == (100 if folder == "dit_imagenet" else 1)
        mask = trainer["callbacks"][0]["init_args"]
        assert (mask["score"], mask["keep"], mask.get("hard", True)) == ("salun", 0.5, True)


def test_numbers_of_cifar10_are_the_published_ones() -> None:
    module, own, trainer = read("ddpm_cifar10/sfron")
    assert module["forget"]["init_args"] == {"alpha": 10.0, "power": 0.5}
    assert module["strategy"]["init_args"] == {
        "forget_steps": 1, "retain_steps": 1, "forget_fade": 150, "forget_clip": 1.0, "retain_clip": 1.0,
    }  # fmt: skip
    assert (module["optimizer"]["init_args"]["lr"], trainer["max_steps"]) == (1e-4, 150)
    assert own["forget"] == {"classes": [1]}, "automobile"
    dual = read("ddpm_cifar10/sfron_dual_optim")[0]
    assert dual["forget"]["init_args"]["alpha"] == 1.0
    assert dual["optimizer"]["init_args"]["forget"]["init_args"]["lr"] == 1e-4
    salun, _, trainer = read("ddpm_cifar10/salun")
    assert (salun["optimizer"]["init_args"]["lr"], trainer["max_steps"]) == (1e-5, 1000)
    c = salun["strategy"]["init_args"]["c"]
    # alpha_f mean + 0.001 sum, of sums over 3 x 32 x 32 values.
    assert c / (1 - c) == pytest.approx(1e-3 * 3 * 32 * 32, rel=1e-3)
    assert salun["model"]["init_args"] == {"shape": "ddpm-cifar10", "reduction": "sum"}
    sa, _, trainer = read("ddpm_cifar10/sa")
    replay = sa["retain"]["init_args"]
    assert (replay["per_class"], replay["gamma"], replay["distance"]) == (500, 1.0, 10.0)
    assert (sa["optimizer"]["init_args"]["lr"], trainer["max_steps"], sa["clip"]) == (1e-4, 20_000, 1.0)
    made = read("ddpm_cifar10/finetune")
    assert (made[2]["max_steps"], made[2]["gradient_clip_val"], made[1]["train_batch_size"]) == (
        800_000,
        1.0,
        128,
    )


def test_numbers_of_imagenet_are_the_published_ones() -> None:
    for end, lr, rounds, alpha in (("", 1e-4, 600, 1e-3), ("_dual_optim", 5e-5, 500, 1.0)):
        module, own, trainer = read(f"dit_imagenet/sfron{end}")
        assert module["forget"]["init_args"] == {"alpha": alpha, "power": 0.0}, "plain ascent"
        assert (trainer["max_steps"], module["strategy"]["init_args"]["forget_fade"]) == (rounds, rounds)
        optimizer = module["optimizer"]["init_args"]
        assert optimizer.get("lr", lr) == lr
        if end:
            assert [optimizer[side]["init_args"]["lr"] for side in ("forget", "retain")] == [lr, lr]
        assert (own["forget_batch_size"], own["retain_batch_size"]) == (1, 1)
        fisher = trainer["callbacks"][0]["init_args"]
        assert (fisher["batches"], own["train_batch_size"]) == (2000, 1), "single images"
        sampling = trainer["callbacks"][-1]["init_args"]["evaluator"]["init_args"]
        assert (sampling["sampler"], sampling["steps"], sampling["guidance"]) == ("ddpm", 250, 0.5), "w = 1.5"
    assert read("dit_imagenet/sfron")[0]["model"]["init_args"]["shape"] in diffusion_shape_names()


@pytest.mark.parametrize("folder", PAPERS)
def test_the_papers_classes_are_said(folder: str) -> None:
    said = (CONFIGS / folder / "sfron.yaml").read_text()
    wanted = (1, 3, 5, 7, 9) if folder == "ddpm_cifar10" else (89, 207, 270, 279, 360)
    assert all(f"[{label}]" in said for label in wanted)


@pytest.mark.parametrize("name", STUDIES)
def test_studies_name_methods_that_there_are_and_ask_them_all_alike(name: str) -> None:
    study = yaml.safe_load((ROOT / "experiments" / f"{name}.yaml").read_text())
    stems = {method.partition("@")[0] for method in study["methods"]}
    assert {f"{study['benchmark']}/{stem}.yaml" for stem in stems} <= set(config_names())
    assert stems >= methods(study["benchmark"]) - {"finetune", "quickstart", "ngdiff_gen"}
    if name.endswith("search"):
        assert all(sum(m.startswith(f"{stem}@") for m in study["methods"]) == 3 for stem in stems)
        measured = [
            yaml.safe_load((ROOT / "experiments" / f"{one}.yaml").read_text())["seeds"] for one in STUDIES[1:]
        ]
        assert not set(study["seeds"]) & {seed for seeds in measured for seed in seeds}
        assert {len(seeds) for seeds in measured} == {5}

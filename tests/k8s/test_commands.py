"""Whether every command that a pod runs is one of the project's, with arguments that it takes."""

import importlib.util
import re

import pytest

from tests.k8s.entrypoints import arguments
from tests.k8s.manifests import APPLIED, of_kind, render, the


def commands() -> set[str]:
    """The modules that jobs run with `python -m`."""
    texts = [job["spec"]["entrypoint"] for name in APPLIED for job in of_kind(render(name), "RayJob")]
    for name in APPLIED:
        for job in of_kind(render(name), "Job"):
            texts += job["spec"]["template"]["spec"]["containers"][0]["args"]
    return {module for text in texts for module in re.findall(r"python -m (\S+)", text)}


@pytest.mark.parametrize(
    "module", ["aligngan.evaluate", "aligngan.train", "loaders.check", "loaders.synthetic", "tune.sweep"]
)
def test_every_command_exists(module: str) -> None:
    assert module in commands()
    assert importlib.util.find_spec(module) is not None


def test_no_job_runs_another_command() -> None:
    assert commands() == {"aligngan.evaluate", "aligngan.train", "loaders.check", "loaders.synthetic", "tune.sweep"}


def test_the_synthetic_set_is_the_one_that_the_training_expects() -> None:
    from aligngan.config import resolve

    (made,) = the(render("dev"), "Job", "prepare-data")["spec"]["template"]["spec"]["containers"][0]["args"]
    root, *options = made.partition("python -m loaders.synthetic $ALIGNGAN_DATA")[2].split()
    job = the(render("dev/train"), "RayJob")
    overrides = [word for word in arguments(job)[3:] if "=" in word]
    expected = resolve("demo", None, overrides).data
    assert f"/data{root}" == expected.root
    wanted = expected.synthetic
    assert options == f"--persons {wanted.persons} --pictures {wanted.pictures} --seed {wanted.seed}".split()


def test_the_evaluation_scores_the_run_and_the_data_of_the_training() -> None:
    for size in ("dev", "gpu", "gpu-multi-tenant"):
        train, evaluate = (arguments(the(render(f"{size}/{job}"), "RayJob")) for job in ("train", "evaluate"))
        values = dict(word.split("=", 1) for word in train if "=" in word)
        assert evaluate[3] == f"{values['run.storage']}/{values['run.name']}"
        assert evaluate[evaluate.index("--data") + 1] == values["data.root"]

"""What the entrypoints of the manifests' jobs ask for, read by the project's own parsers."""

import shlex
from string import Template

from cluster.config import RunSettings
from tests.k8s.manifests import Object, environment, ray_container


def arguments(job: Object) -> list[str]:
    """Return the words of a RayJob's command as the shell on the head splits and completes them."""
    head = environment(ray_container(job["spec"]["rayClusterSpec"]["headGroupSpec"]))
    return shlex.split(Template(job["spec"]["entrypoint"]).substitute(head))


def run_settings(job: Object) -> RunSettings:
    """Return the section `run` of what a RayJob runs."""
    words = arguments(job)
    assert words[:2] == ["python", "-m"], words
    if words[2] == "aligngan.train":
        from aligngan.config import resolve
        from aligngan.train import parser

        given = parser().parse_intermixed_args(words[3:])
        return resolve(given.preset or "demo", given.config, given.overrides).run
    if words[2] == "aligngan.evaluate":
        from aligngan.config import resolve
        from aligngan.evaluate import parser as evaluation_parser

        given = evaluation_parser().parse_intermixed_args(words[3:])
        return resolve("demo", None, [text for text in given.sources if text.startswith("run.")]).run
    if words[2] == "tune.sweep":
        from tune.settings import base_config, read_space
        from tune.sweep import parser as sweep_parser

        given = sweep_parser().parse_intermixed_args(words[3:])
        return base_config(read_space(given.space), given.preset, given.config, tuple(given.overrides)).run
    raise AssertionError(f"no such command among the manifests' jobs: {words[2]}")

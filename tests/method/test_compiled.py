"""Compiled networks train like others."""

import shutil
from functools import partial, partialmethod

import pytest
import torch
import torch._dynamo
from torch import nn

from aligngan.training.compiled import compile_networks
from tests.method.small import METHODS, small_config, small_method
from tests.method.test_fast_path import everything

LAYOUT, FLOAT = torch.channels_last, torch.float64
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="no g++ to make code with")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "name", "backend"),
    [
        # Graphs as they are captured; code of them only of one method, as it takes a minute to make.
        *(("demo", name, "aot_eager") for name in METHODS),
        ("released", "aligngan", "aot_eager"),
        pytest.param("demo", "featalign", "inductor", marks=needs_compiler),
    ],
)
def test_compiled_networks_compute_what_others_do(
    preset: str, name: str, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_config(name, preset=preset)
    expected = everything(small_method(config), LAYOUT, FLOAT)
    monkeypatch.setattr(nn.Module, "compile", partialmethod(nn.Module.compile, backend=backend))
    method = small_method(config)
    compile_networks(method.networks)
    found = everything(method, LAYOUT, FLOAT)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-8, atol=1e-10, msg=partial("{}: {}".format, key))
    torch._dynamo.reset()

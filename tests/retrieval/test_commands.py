"""The commands' help: at once, and with an example to copy."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("command", ["evaluate", "search", "translate", "export"])
def test_help_shows_an_example_and_imports_neither_ray_nor_torch(command: str) -> None:
    program = (
        f"import sys; from aligngan.{command} import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "loaded = {'ray', 'torch', 'cv2', 'numpy'} & set(sys.modules)\n"
        "sys.exit(f'imported {loaded}' if loaded else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert f"  python -m aligngan.{command} runs/NAME" in done.stdout

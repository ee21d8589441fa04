"""`python -m aligngan.export`: a model as files that other programs run."""

import argparse
import sys
from collections.abc import Sequence

FORMATS = ("onnx", "torchscript", "pt2")

EPILOG = """\
examples:
  python -m aligngan.export runs/NAME --format onnx
      one file for visible and one for infrared pictures, in the working directory
  python -m aligngan.export runs/NAME/step_000010000 --format pt2 --modality ir --out models

Each file takes pictures uint8 [N, 3, H, W] (RGB, resized to the height and width that the command prints) and gives
features float32 [N, D] with rows of length one: their products are cosine similarities, whatever the modalities.
A file is kept only where it gives what the model gives. Format onnx needs: pip install onnx onnxscript onnxruntime
"""


def parser() -> argparse.ArgumentParser:
    """Return the command's argument parser."""
    arguments = argparse.ArgumentParser(
        prog="python -m aligngan.export",
        description="Write a model as ONNX, TorchScript or PT2 files, from picture to feature, and check them.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    arguments.add_argument("source", metavar="CHECKPOINT", help="checkpoint folder or run folder, a path or a URI")
    arguments.add_argument("--format", choices=FORMATS, required=True, help="what the files are")
    arguments.add_argument("--modality", choices=("rgb", "ir"), help="only this one (default: a file for each)")
    arguments.add_argument("--out", default=".", metavar="FOLDER", help="folder for the files (default: here)")
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0 done, 1 a file differs from the model, 2 refused, 130 interrupted."""
    arguments = parser().parse_args(argv)
    from aligngan.export_run import export

    try:
        return export(arguments.source, arguments.format, arguments.modality, arguments.out)
    except KeyboardInterrupt:
        print("interrupted; files that were named are whole", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())

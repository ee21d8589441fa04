"""`python -m aligngan.translate`: visible pictures as infrared ones, and back."""

import argparse
import sys
from collections.abc import Sequence

EPILOG = """\
examples:
  python -m aligngan.translate runs/NAME day/0001.jpg fake
      fake/0001.jpg: what an infrared camera would have seen, by the model's translator
  python -m aligngan.translate runs/NAME /data/pictures fake
      a folder with all its folders; each picture keeps its folder, name and size
  python -m aligngan.translate runs/NAME night fake --modality ir
      infrared pictures to visible ones; without --modality folder names and colour say which a picture is
"""


def parser() -> argparse.ArgumentParser:
    """Return the command's argument parser."""
    arguments = argparse.ArgumentParser(
        prog="python -m aligngan.translate",
        description="Translate pictures to the other modality with a model's translators.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    arguments.add_argument("source", metavar="CHECKPOINT", help="checkpoint folder or run folder, a path or a URI")
    arguments.add_argument("pictures", metavar="PICTURE|FOLDER", help="what to translate")
    arguments.add_argument("out", metavar="OUT", help="folder for the translated pictures: a path or a URI")
    arguments.add_argument(
        "--modality", choices=("rgb", "ir"), help="of all pictures; each becomes the other (default: found out)"
    )
    arguments.add_argument(
        "--network-size", action="store_true", help="leave pictures at the size that the network works at"
    )
    arguments.add_argument("--overwrite", action="store_true", help="replace files that are in OUT already")
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0 done, 1 no picture could be read, 2 refused, 130 interrupted."""
    arguments = parser().parse_args(argv)
    from aligngan.translate_run import translate

    try:
        return translate(
            arguments.source,
            arguments.pictures,
            arguments.out,
            modality=arguments.modality,
            network_size=arguments.network_size,
            overwrite=arguments.overwrite,
        )
    except KeyboardInterrupt:
        print("interrupted; pictures written so far are whole, --overwrite begins again", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())

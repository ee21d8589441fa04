"""Pictures of made-up people by visible-light and infrared cameras, in the layout of SYSU-MM01."""

from loaders.synthetic.write import default_root, ensure, make

__all__ = ["default_root", "ensure", "make"]

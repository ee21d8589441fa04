"""Ways to turn planned picture files into pixels, all giving the same ones."""

"""AlignGAN: visible-infrared person re-identification by joint pixel and feature alignment."""

__version__ = "0.1.0"

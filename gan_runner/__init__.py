"""gan_runner: command-line GAN experiments."""

__version__ = "0.1.0"

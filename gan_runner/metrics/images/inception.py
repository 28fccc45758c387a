"""The Inception network that published FID, KID and inception scores are computed with."""

from __future__ import annotations

import pickle
from pathlib import Path
from urllib.error import URLError

import torch
from torch import Tensor, nn

from gan_runner.metrics.fork_rng import fork_rng
from gan_runner.private_apis import inception_outputs

_NAME = "inception-v3-compat"  # torch-fidelity's
SIDE = 299  # pixels that it resizes images to, bilinearly on TensorFlow's grid


class Inception(nn.Module):
    """Inception v3 of 2015 with the weights that the literature uses, through torchmetrics.

    Features are its last pooling (2,048), logits those without bias of its 1,008 classes, as
    torchmetrics' metrics take them by default. Images are resized as the original does.

    Args:
        weights: file of the weights, as torch-fidelity publishes them; None: torch-fidelity
            downloads them once.

    Raises:
        ValueError: torch-fidelity is not installed, or there are no such weights.
    """

    def __init__(self, weights: str | None) -> None:
        super().__init__()
        from torchmetrics.image.fid import NoTrainInceptionV3

        path = None if weights is None else str(_checked(weights))
        outputs = ["2048", "logits_unbiased"]
        try:
            with fork_rng(0):  # it draws initial weights, which are then overwritten
                self.network = NoTrainInceptionV3(_NAME, outputs, path, antialias=False)
        except ModuleNotFoundError as error:
            raise ValueError(
                "metrics.images.network=inception needs a package: pip install torch-fidelity"
            ) from error
        except (RuntimeError, TypeError) as error:  # load_state_dict's
            raise ValueError(
                f"metrics.images.weights={weights} does not name the weights of Inception v3 that"
                " torch-fidelity publishes"
            ) from error
        except (URLError, OSError) as error:
            raise ValueError(
                f"metrics.images.network=inception: its weights could not be downloaded ({error});"
                " set metrics.images.weights=FILE or metrics.images.network=auto"
            ) from error

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features (N, 2048) and logits (N, 1008) of images (N, 1 or 3, H, W) in [-1, 1]."""
        pixels = ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        if pixels.shape[1] == 1:
            pixels = pixels.expand(-1, 3, -1, -1)
        return inception_outputs(self.network, pixels)


def _checked(weights: str) -> Path:
    """The path of a file of tensors and nothing else: torch-fidelity would execute what it says.

    Raises:
        ValueError: there is no such file, or it is not tensors by name.
    """
    path = Path(weights).expanduser()
    if not path.is_file():
        raise ValueError(f"metrics.images.weights={weights}: there is no such file")
    try:
        torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, ValueError) as error:
        raise ValueError(
            f"metrics.images.weights={weights} is not a file of tensors as torch saves them"
        ) from error
    return path

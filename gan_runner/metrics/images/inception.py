"""The Inception network of published FID, KID and inception scores."""

from __future__ import annotations

import pickle
from pathlib import Path
from urllib.error import URLError

import torch
from torch import Tensor, nn

from gan_runner.metrics.fork_rng import fork_rng

_NAME = "inception-v3-compat"  # torch-fidelity's name
SIDE = 299  # side in pixels; images are resized bilinearly on TensorFlow's grid


class Inception(nn.Module):
    """Inception v3 of 2015 with the weights that the literature uses, through torch-fidelity.

    Features are the last pooling layer (2,048); logits are those of 1,008 classes without bias.
    Both are the defaults of torch-fidelity's metrics. Images are resized as in the original
    network.

    Args:
        weights: file of the weights that torch-fidelity publishes; None: torch-fidelity downloads
            them once.

    Raises:
        ValueError: torch-fidelity is not installed, or the weights do not exist.
    """

    def __init__(self, weights: str | None) -> None:
        super().__init__()
        path = None if weights is None else str(_checked(weights))
        outputs = ["2048", "logits_unbiased"]
        try:
            from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

            with fork_rng(0):  # the constructor draws initial weights, which are then overwritten
                self.network = FeatureExtractorInceptionV3(
                    _NAME, outputs, feature_extractor_weights_path=path
                )
        except ModuleNotFoundError as error:
            raise ValueError(
                "metrics.images.network=inception: a package is missing; pip install torch-fidelity"
            ) from error
        except (RuntimeError, TypeError) as error:  # from load_state_dict
            raise ValueError(
                f"metrics.images.weights={weights}: the file does not hold the Inception v3 weights"
                " of torch-fidelity; set the path of such a file"
            ) from error
        except (URLError, OSError) as error:
            raise ValueError(
                f"metrics.images.network=inception: the weights cannot be downloaded ({error});"
                " set metrics.images.weights=FILE or metrics.images.network=auto"
            ) from error

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (N, 2048) and logits (N, 1008) of images (N, 1 or 3, H, W) in [-1, 1]."""
        pixels = ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        if pixels.shape[1] == 1:
            pixels = pixels.expand(-1, 3, -1, -1)
        features, logits = self.network(pixels)
        return features, logits


def _checked(weights: str) -> Path:
    """Return the path of the weights after checking that the file holds tensors only.

    Loading by torch-fidelity would execute code that a pickle contains.

    Raises:
        ValueError: the file does not exist, or is not a dictionary of tensors.
    """
    path = Path(weights).expanduser()
    if not path.is_file():
        raise ValueError(
            f"metrics.images.weights={weights}: the file does not exist; set the path of a file"
        )
    try:
        torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, ValueError) as error:
        raise ValueError(
            f"metrics.images.weights={weights}: the file is not a file of tensors from torch.save;"
            " set the path of the weights"
        ) from error
    return path

"""The Inception network of published FID, KID and inception scores."""

from __future__ import annotations

import io
import pickle
from hashlib import file_digest
from pathlib import Path
from typing import Any, BinaryIO
from urllib.error import URLError

import torch
from torch import Tensor, nn

from gan_runner.metrics.fork_rng import fork_rng
from gan_runner.runs.torch_files import load_tensors

_NAME = "inception-v3-compat"  # torch-fidelity's name
SIDE = 299  # side in pixels; images are resized bilinearly on TensorFlow's grid

# torch-fidelity publishes only these digits of the SHA-256, as a part of the file's name. They
# detect damage, not forgery; a forged file can change numbers, but executes nothing.
_HASH_PREFIX = "6726825d"

_NOT_TENSORS = (
    pickle.UnpicklingError, RuntimeError, EOFError, LookupError, ValueError, TypeError,
    AttributeError, ArithmeticError,
)  # fmt: skip
"""Errors of `load_tensors` for files that hold something else than tensors."""


class Inception(nn.Module):
    """Inception v3 of 2015 with the weights that the literature uses, through torch-fidelity.

    Features are the last pooling layer (2,048); logits are those of 1,008 classes without bias.
    Both are the defaults of torch-fidelity's metrics. Images are resized as in the original
    network.

    The file of the weights is read once, as tensors only. Loading by torch-fidelity would execute
    code that a pickle contains, so torch-fidelity gets these tensors instead of a path.

    Args:
        weights: file of the weights that torch-fidelity publishes; None: the file in the folder of
            `torch.hub`, downloaded if missing, whose hash must be the published one.

    Raises:
        ValueError: torch-fidelity is not installed, or the weights do not exist.
    """

    def __init__(self, weights: str | None) -> None:
        super().__init__()
        try:
            from torch_fidelity.feature_extractor_inceptionv3 import (
                URL_INCEPTION_V3,
                FeatureExtractorInceptionV3,
            )
        except ModuleNotFoundError as error:
            raise ValueError(
                "metrics.images.network=inception: a package is missing; pip install torch-fidelity"
            ) from error
        state = _published(URL_INCEPTION_V3) if weights is None else _given(weights)
        outputs = ["2048", "logits_unbiased"]
        try:
            with fork_rng(0):  # the constructor draws initial weights, which are then overwritten
                self.network = FeatureExtractorInceptionV3(
                    _NAME, outputs, feature_extractor_weights_path=_file_of(state)
                )
        except (RuntimeError, TypeError) as error:  # from load_state_dict
            raise ValueError(
                f"metrics.images.weights={weights}: the file does not hold the Inception v3 weights"
                " of torch-fidelity; set the path of such a file"
            ) from error

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (N, 2048) and logits (N, 1008) of images (N, 1 or 3, H, W) in [-1, 1]."""
        pixels = ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        if pixels.shape[1] == 1:
            pixels = pixels.expand(-1, 3, -1, -1)
        features, logits = self.network(pixels)
        return features, logits


def _given(weights: str) -> dict[str, Tensor]:
    """Return the tensors of a file that the user names.

    Raises:
        ValueError: the file does not exist, or is not a dictionary of tensors.
    """
    path = Path(weights).expanduser()
    if not path.is_file():
        raise ValueError(
            f"metrics.images.weights={weights}: the file does not exist; set the path of a file"
        )
    try:
        with path.open("rb") as file:
            return _tensors(file)
    except (*_NOT_TENSORS, OSError) as error:
        raise ValueError(
            f"metrics.images.weights={weights}: the file is not a file of tensors from torch.save;"
            " set the path of the weights"
        ) from error


def _published(url: str) -> dict[str, Tensor]:
    """Return the tensors of the published file; download it if it is missing.

    Raises:
        ValueError: the file cannot be downloaded, has another hash, or does not hold tensors.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    try:
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), hash_prefix=_HASH_PREFIX)
        with path.open("rb") as file:
            if not file_digest(file, "sha256").hexdigest().startswith(_HASH_PREFIX):
                raise ValueError(f"its SHA-256 does not begin with {_HASH_PREFIX}")
            file.seek(0)
            return _tensors(file)
    except (URLError, OSError) as error:
        raise ValueError(
            f"metrics.images.network=inception: the weights cannot be downloaded ({error});"
            " set metrics.images.weights=FILE or metrics.images.network=auto"
        ) from error
    except _NOT_TENSORS as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"metrics.images.network=inception: {path} does not hold the published weights"
            f" ({reason}); remove the file or set metrics.images.weights=FILE"
        ) from error


def _tensors(file: BinaryIO) -> dict[str, Tensor]:
    """Load {name: tensor}; a pickle that contains anything else is refused, not executed."""
    state = load_tensors(file, legacy=True)  # the published file is of 2018
    if not isinstance(state, dict):
        raise TypeError("the file does not hold a dictionary")
    for name, tensor in state.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise TypeError("the file does not hold tensors only")
    return dict(state)


def _file_of(state: dict[str, Tensor]) -> Any:
    """Return the tensors as a file in memory, which torch-fidelity passes to `torch.load`."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return file

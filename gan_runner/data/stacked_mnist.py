"""Stacked MNIST: three digits as the channels of an image, a data set with 1,000 known modes."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge

from gan_runner.core import Batch, Dataset, DataSpec
from gan_runner.data.torchvision import ImageSize, mnist

CLASSES = 1000


def stacked_mnist(
    *,
    root: str,
    download: bool = True,
    image_size: ImageSize = None,
    n_samples: Annotated[int, Ge(1)] = 128_000,
    n_heldout: Annotated[int, Ge(1)] = 26_000,
    seed: Annotated[int, Ge(0)] = 0,
) -> Dataset:
    """Stack three random digits of MNIST in each image; the label is their number 0 to 999.

    Metz et al. 2017, section 3.3.1; 128,000 images, as in Srivastava et al. 2017 and Lin et al.
    2018. Held-out images are of MNIST's test split.

    Args:
        root: folder of torchvision's `MNIST/raw`.
        download: download the files if they are missing.
        image_size: side in pixels that images are resized to; None: 28.
        n_samples: training images.
        n_heldout: held-out images.
        seed: of the choice of digits.

    Raises:
        ValueError: the files are not in `root` and cannot be downloaded.
    """
    digits = mnist(root=root, download=download, image_size=image_size)
    random = torch.Generator().manual_seed(seed)
    train = _stack(digits.train, n_samples, random)
    heldout = _stack(digits.heldout, n_heldout, random)
    spec = DataSpec("stacked_mnist", tuple(train.x.shape[1:]), n_classes=CLASSES)
    return Dataset(spec, train, heldout)


def _stack(digits: Batch, count: int, random: torch.Generator) -> Batch:
    assert digits.y is not None
    rows = torch.randint(len(digits.x), (count, 3), generator=random)
    labels = digits.y[rows] @ torch.tensor([100, 10, 1])
    return Batch(digits.x[rows, 0], labels)

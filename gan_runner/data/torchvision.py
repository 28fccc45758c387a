"""MNIST, Fashion-MNIST and CIFAR-10 through torchvision; the test split is what is held out."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import torch
from annotated_types import Ge
from torchvision import datasets
from torchvision.transforms.v2.functional import resize

from gan_runner.core import Batch, Dataset, DataSpec

ImageSize = Annotated[int, Ge(1)] | None


def mnist(*, root: str, download: bool = True, image_size: ImageSize = None) -> Dataset:
    """60,000 + 10,000 handwritten digits, 28x28, 10 classes (LeCun et al. 1998).

    Args:
        root: folder that holds, or is to hold, torchvision's `MNIST/raw`.
        download: fetch the files if they are not there.
        image_size: side in pixels, resized to with antialiasing; None: as they are.

    Raises:
        ValueError: the files are not in `root` and could not be fetched.
    """
    return _load(datasets.MNIST, "mnist", root, download, image_size)


def fashion_mnist(*, root: str, download: bool = True, image_size: ImageSize = None) -> Dataset:
    """60,000 + 10,000 pictures of clothes, 28x28, 10 classes (Xiao et al. 2017). See `mnist`."""
    return _load(datasets.FashionMNIST, "fashion_mnist", root, download, image_size)


def cifar10(*, root: str, download: bool = True, image_size: ImageSize = None) -> Dataset:
    """50,000 + 10,000 colour images, 32x32, 10 classes (Krizhevsky 2009). See `mnist`."""
    return _load(datasets.CIFAR10, "cifar10", root, download, image_size)


def _load(kind: type, name: str, root: str, download: bool, image_size: int | None) -> Dataset:
    folder = Path(root).expanduser()
    places = (folder / kind.__name__ / "raw", folder / kind.__name__, folder, *folder.parents)
    missing = [place for place in places if not place.exists()]  # torchvision makes them
    try:
        train, test = (kind(folder, train=part, download=download) for part in (True, False))
    except (RuntimeError, OSError) as error:  # torchvision's for missing or broken files
        for made in missing:
            with suppress(OSError):  # it was not needed, or something has been fetched after all
                made.rmdir()
        reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        fix = (
            f"without a network, copy the files of a machine that has them there, or name their "
            f"folder: dataset.root=FOLDER ({reason})"
            if download
            else "name the right folder with dataset.root=FOLDER or set dataset.download=true"
        )
        raise ValueError(
            f"dataset={name}: no usable files in dataset.root={root}; {fix}"
        ) from error
    batches = [_as_batch(part, image_size) for part in (train, test)]
    spec = DataSpec(name, tuple(batches[0].x.shape[1:]), n_classes=len(train.classes))
    return Dataset(spec, train=batches[0], heldout=batches[1])


def _as_batch(table: datasets.VisionDataset, image_size: int | None) -> Batch:
    """From torchvision's (N, H, W) or (N, H, W, C) uint8 to (N, C, H, W), resized if asked."""
    x = torch.as_tensor(table.data)
    x = x[:, None] if x.ndim == 3 else x.permute(0, 3, 1, 2).contiguous()
    if image_size is not None:
        x = resize(x, [image_size, image_size], antialias=True)
    return Batch(x, torch.as_tensor(table.targets, dtype=torch.int64))

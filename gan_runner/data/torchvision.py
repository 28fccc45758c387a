"""MNIST, Fashion-MNIST and CIFAR-10 through torchvision; the test split is the held-out set."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

import torch
from annotated_types import Ge
from torchvision import datasets
from torchvision.transforms.v2.functional import resize

from gan_runner.core import Batch, Dataset, DataSpec
from gan_runner.runs.files import expanded, writable

ImageSize = Annotated[int, Ge(1)] | None


def mnist(*, root: str, download: bool = True, image_size: ImageSize = None) -> Dataset:
    """Load 60,000 + 10,000 handwritten digits, 28x28, 10 classes (LeCun et al. 1998).

    Args:
        root: folder of torchvision's `MNIST/raw`, which is created by a download.
        download: download the files if they are missing.
        image_size: side in pixels that images are resized to (antialiased); None: original size.

    Raises:
        ValueError: the files are not in `root` and cannot be downloaded.
    """
    return _load(datasets.MNIST, "mnist", root, download, image_size)


def fashion_mnist(*, root: str, download: bool = True, image_size: ImageSize = None) -> Dataset:
    """Load 60,000 + 10,000 images of clothes, 28x28, 10 classes (Xiao et al. 2017); see `mnist`."""
    return _load(datasets.FashionMNIST, "fashion_mnist", root, download, image_size)


def cifar10(*, root: str, download: bool = True, image_size: ImageSize = None) -> Dataset:
    """Load 50,000 + 10,000 colour images, 32x32, 10 classes (Krizhevsky 2009); see `mnist`."""
    return _load(datasets.CIFAR10, "cifar10", root, download, image_size)


def _load(kind: type, name: str, root: str, download: bool, image_size: int | None) -> Dataset:
    folder = expanded(root)
    present = (kind.__name__, getattr(kind, "base_folder", kind.__name__))
    if download and not any((folder / name).exists() for name in present):
        folder = writable(folder)
    places = (folder / kind.__name__ / "raw", folder / kind.__name__, folder, *folder.parents)
    missing = [place for place in places if not place.exists()]  # torchvision creates them
    try:
        train, test = (kind(folder, train=part, download=download) for part in (True, False))
    except (RuntimeError, OSError) as error:  # from torchvision, for missing or broken files
        for created in missing:
            with suppress(OSError):  # the folder does not exist, or is not empty
                created.rmdir()
        reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        fix = (
            "without a network, copy the files from another machine, or set dataset.root=FOLDER"
            f" to the folder that holds them ({reason})"
            if download
            else "set dataset.root=FOLDER to the folder that holds them, or dataset.download=true"
        )
        raise ValueError(
            f"dataset={name}: no usable files in dataset.root={root}; {fix}"
        ) from error
    batches = [_as_batch(part, image_size) for part in (train, test)]
    names = tuple(map(str, train.classes))
    shape = tuple(batches[0].x.shape[1:])
    spec = DataSpec(name, shape, n_classes=len(names), class_names=names)
    return Dataset(spec, train=batches[0], heldout=batches[1])


def _as_batch(table: datasets.VisionDataset, image_size: int | None) -> Batch:
    """Convert torchvision's (N, H, W) or (N, H, W, C) uint8 to (N, C, H, W); resize if set."""
    x = torch.as_tensor(table.data)
    x = x[:, None] if x.ndim == 3 else x.permute(0, 3, 1, 2).contiguous()
    if image_size is not None:
        x = resize(x, [image_size, image_size], antialias=True)
    return Batch(x, torch.as_tensor(table.targets, dtype=torch.int64))

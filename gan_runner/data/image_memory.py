"""Memory that the images of a folder take together, checked while they are decoded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from PIL import Image

from gan_runner.data.image_files import Reader
from gan_runner.runs.images import open_image
from gan_runner.runs.memory import free_problem, unpacked_problem


class ImageMemory:
    """The sizes of images that several threads decode, and the memory of all of them.

    A folder's images are of one size, or are resized to one, so that the first one tells the size
    of all. Its header is read anyway: no file is opened a second time unless there is a problem.

    Args:
        path: the folder or zip file.
        names: names of all files in it.
        read: reads a file by name.
        size: side to which images are resized, or None.
        unreadable: errors for files that are not usable images.

    Attributes:
        sizes: (width, height) of the images so far, as keys.
    """

    def __init__(
        self,
        path: str,
        names: Sequence[str],
        read: Reader,
        *,
        size: int | None,
        unreadable: tuple[type[BaseException], ...],
    ) -> None:
        source = Path(path).expanduser()
        self.sizes: dict[tuple[int, int], None] = {}
        self._path, self._names, self._read = path, names, read
        self._size, self._unreadable = size, unreadable
        self._archive = source.stat().st_size if source.is_file() else 0
        self._largest, self._files, self._decoded = 0, 0, 0
        self._lock = Lock()

    def keeps(self, image: Image.Image, file_size: int) -> bool:
        """Count a decoded image; return whether to keep it.

        One of another size than the first is not kept, as the folder is refused in the end.

        Raises:
            ValueError: all images take more memory than there is, or than their files explain.
        """
        (width, height), bands = image.size, len(image.getbands())
        with self._lock:
            self.sizes.setdefault(image.size)
            first = next(iter(self.sizes))
            if self._size is None and (image.size != first or width != height):
                return False
            self._decoded += width * height * bands
            self._files += file_size
            if self._size is None:
                self._refuse(unpacked_problem(self._decoded, self._archive or self._files))
            if width * height * bands > self._largest:
                self._largest = width * height * bands
                if free_problem(self._largest * len(self._names)):
                    self._refuse(free_problem(self._largest * self._count()))
        return True

    def _refuse(self, problem: str | None) -> None:
        if problem is not None:
            pixels = "PIXELS" if self._size is None else "FEWER_PIXELS"
            where = f"dataset.path={self._path}"
            raise ValueError(f"{where}: {problem}; set dataset.image_size={pixels}")

    def _count(self) -> int:
        """Return the number of files that are images; called only if all of them are too many."""
        return sum(map(self._is_image, self._names))

    def _is_image(self, name: str) -> bool:
        try:
            open_image(self._read(name))
        except self._unreadable:
            return False
        return True

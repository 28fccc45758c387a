"""The only place where files of `torch.save` are opened, within bounds of memory and time.

Torch's `weights_only` protects from code, not from size. It lets a pickle of a few bytes call
`bytearray(N)`, inflates compressed members whole, and follows one object as often as it is named.
"""

from __future__ import annotations

import io
import pickletools
import re
import zipfile
from collections import OrderedDict
from typing import Any, BinaryIO

import torch
from torch import Tensor

from gan_runner.runs.memory import free_memory
from gan_runner.runs.parse import MAX_DEPTH

_STORAGES = ("Float", "Double", "Half", "BFloat16", "Byte", "Char", "Short", "Int", "Long", "Bool")
_GLOBALS = {
    "collections OrderedDict",  # the hooks of every tensor, and the weights of a network
    "torch._utils _rebuild_tensor_v2",  # every tensor
    "torch._utils _rebuild_parameter",  # not in checkpoints, but in weights that others saved
    *(f"torch {name}Storage" for name in _STORAGES),  # the types of weights, indices and masks
}
"""Globals in the checkpoints of all objectives and optimizers, as `pickletools` names them.

None of them holds anything else, such as `bytearray`, a set or an array of numpy.
"""

_IMPORTS = {"STACK_GLOBAL", "INST", "OBJ", "EXT1", "EXT2", "EXT4"}  # other ways to a global
_MEMBER = re.compile(
    r"[^/]+/(data\.pkl|data/\d+|version|byteorder|\.format_version|\.storage_alignment)"
)
_PICKLE_BYTES = 16 << 20  # a tensor takes about 200
_PICKLE_STEPS = 1_000_000  # a tensor takes about 30
_VALUES = 1_000_000  # an optimizer has a dozen for each tensor
_TEXT = 16 << 20  # characters, and bits of integers
_REPEATS = 16  # of a tensor in a file; the parts of a state may share weights
_PICKLES = 5  # in a file of before 2020: number, version, system, contents, names of storages
_COPIES = 2  # of a file in memory while it is read


class UnusableTensors(ValueError):
    """Error for a file that `load_tensors` does not open; its text is the reason."""


def load_tensors(file: BinaryIO, *, legacy: bool = False) -> Any:
    """Read plain values and tensors onto the CPU, in memory and time that the file's size bounds.

    Torch reads a copy in memory that consists of the members that were checked.

    Args:
        file: opened at its beginning.
        legacy: whether to accept the format of before 2020, which is not a zip file.

    Returns:
        Nested dictionaries, lists and tuples of tensors, text, numbers, booleans and None.

    Raises:
        UnusableTensors: the file has compressed members, other globals, or too many values.
        Exception: any other error of `torch.load` for a damaged file.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    free = free_memory()
    if free is not None and _COPIES * size > free:
        needed = f"needs {_COPIES * size / 2**30:,.1f} GiB"
        raise UnusableTensors(f"{needed}, and {free / 2**30:,.1f} are free")
    if legacy and not zipfile.is_zipfile(file):
        file.seek(0)
        content = io.BytesIO(file.read())
        for _ in range(_PICKLES):
            _check_pickle(content)
        content.seek(0)
    else:
        content = _checked_archive(file, size)
    values = torch.load(content, map_location="cpu", weights_only=True)
    _check_values(values, _REPEATS * size)
    return values


def _checked_archive(file: BinaryIO, size: int) -> io.BytesIO:
    """Copy the members that torch reads into an archive of our own.

    Two readers of zip files may find different members in a forged one.
    """
    copy = io.BytesIO()
    with zipfile.ZipFile(file) as archive, zipfile.ZipFile(copy, "w") as checked:
        members = archive.infolist()
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise UnusableTensors("a member is compressed")
        if sum(member.file_size for member in members) > size:
            raise UnusableTensors("its members overlap")
        for member in members:
            if not (match := _MEMBER.fullmatch(member.filename)):
                continue
            if match[1] == "data.pkl" and member.file_size > _PICKLE_BYTES:
                raise UnusableTensors(f"its pickle has more than {_PICKLE_BYTES:,} bytes")
            data = archive.read(member)
            if match[1] == "data.pkl":
                _check_pickle(io.BytesIO(data))
            checked.writestr(f"archive/{match[1]}", data)
    copy.seek(0)
    return copy


def _check_pickle(file: BinaryIO) -> None:
    """Check the globals and the length of a pickle, without executing it.

    Raises:
        UnusableTensors: it names another global, or has too many steps.
        ValueError: it is cut off.
    """
    for step, (code, argument, _) in enumerate(pickletools.genops(file)):
        if code.name in _IMPORTS or (code.name == "GLOBAL" and argument not in _GLOBALS):
            raise UnusableTensors(f"its pickle names {argument or code.name}")
        if step > _PICKLE_STEPS:
            raise UnusableTensors(f"its pickle has more than {_PICKLE_STEPS:,} steps")


def _check_values(content: Any, most_bytes: int) -> None:
    """Check types, depth, number and size of values, each as often as it is reached.

    Raises:
        UnusableTensors: one is of another type, or they are too many, too deep or too large.
    """
    waiting, count, text, size = [(content, 0)], 0, 0, 0
    while waiting:
        value, depth = waiting.pop()
        kind = type(value)
        count += 1
        if isinstance(value, Tensor):
            size += value.numel() * value.element_size()
        elif kind is str:
            text += len(value)
        elif kind is int:
            text += value.bit_length()
        elif kind in (dict, OrderedDict):
            parts = [*value.keys(), *value.values(), *getattr(value, "__dict__", {}).values()]
            waiting += [(part, depth + 1) for part in parts]
        elif kind in (list, tuple):
            waiting += [(part, depth + 1) for part in value]
        elif kind not in (bool, float, type(None)):
            raise UnusableTensors(f"it holds a value of type {kind.__name__}")
        many = count + len(waiting) > _VALUES or text > _TEXT or size > most_bytes
        if many or depth > MAX_DEPTH:
            raise UnusableTensors("its values are too many, too deep or too large")

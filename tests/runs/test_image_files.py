"""Image files from strangers: no external program, limited bytes and pixels, one place that opens them."""

from __future__ import annotations

import ast
import io
import json
import os
import pty
import struct
import subprocess
import sys
import threading
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from conftest import Zygote
from PIL import EpsImagePlugin, Image
from toy_runs import TOY

from gan_runner.commands.console import print_result
from gan_runner.commands.report import main as report
from gan_runner.commands.table import main as table
from gan_runner.data import image_folder as folder_module
from gan_runner.data.image_folder import image_folder
from gan_runner.plots.samples import image_to_ansi
from gan_runner.reports.images import data_uri
from gan_runner.runs import images
from gan_runner.runs.images import MAX_BYTES, TooLarge, open_image, rgb_image
from gan_runner.sweeps.jobs import job_dir, write_note

ROOT = Path(__file__).resolve().parents[2]
EPS = b"""%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 8 8
%%EndComments
0 0 8 8 rectfill
showpage
%%EOF
"""


@pytest.fixture
def witness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that exists as soon as the stub `gs` on the PATH has been called."""
    path, stub = tmp_path / "called", tmp_path / "bin" / "gs"
    stub.parent.mkdir()
    stub.write_text(f"#!/bin/sh\necho called >> {path}\n")
    stub.chmod(0o755)
    monkeypatch.setenv("PATH", str(stub.parent), prepend=os.pathsep)
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    return path


def grey(path: Path, level: int = 9) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8), level, np.uint8)).save(path)


def test_the_witness_sees_pillow_call_ghostscript(witness: Path) -> None:
    with pytest.raises(OSError):
        Image.open(io.BytesIO(EPS)).load()
    assert witness.exists()


def test_postscript_in_an_image_folder_is_a_bad_file(witness: Path, tmp_path: Path) -> None:
    for k in range(2):
        grey(tmp_path / "images" / f"{k}.png")
    (tmp_path / "images" / "a.png").write_bytes(EPS)
    with pytest.raises(ValueError, match=r"a\.png \(unknown format\); remove"):
        image_folder(path=str(tmp_path / "images"))
    with pytest.warns(UserWarning, match=r"a\.png"):
        image_folder(
            path=str(tmp_path / "images"), on_bad_file="skip", cache=str(tmp_path / "cache")
        )
    assert not witness.exists()


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """A sweep of figure 2 with one run, whose only picture is PostScript."""
    overrides = ["model=dcgan_default", "objective=gan"]
    folder = job_dir(tmp_path / "sweep", overrides)
    (folder / "samples").mkdir(parents=True)
    note = {"overrides": overrides, "status": "completed", "number": 0}
    write_note(folder, {**note, "config": {"study": {"name": "figure2"}}})
    summary = {"status": "completed", "steps": 1, "seconds": {"total": 1.0}, "final": {}}
    (folder / "summary.json").write_text(json.dumps({**summary, "best": {}, "health": {}}))
    (folder / "samples" / "step_000001.png").write_bytes(EPS)
    return tmp_path / "sweep"


def test_postscript_in_a_sweep_of_figure_2(
    witness: Path, sweep: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both commands draw the figure, with an empty frame."""
    report([str(sweep)])
    assert (sweep / "report.html").is_file()
    with Image.open(sweep / "figure2.png") as figure:
        assert figure.format == "PNG"
    (sweep / "figure2.png").unlink()
    monkeypatch.setattr(sys, "argv", ["gan-table", str(sweep)])
    table()
    assert (sweep / "figure2.png").is_file()
    assert not witness.exists()


def on_a_terminal(zygote: Zygote, *argv: str, cwd: Path) -> tuple[int, str]:
    """Run gan-run with a terminal for its output; return the exit status and the output."""
    leader, follower = pty.openpty()
    shown: list[bytes] = []

    def read() -> None:
        with suppress(OSError):  # the other end is closed
            while part := os.read(leader, 1 << 16):
                shown.append(part)

    reader = threading.Thread(target=read)
    reader.start()
    zygote.start(cwd, *argv, out=os.ttyname(follower))
    status = zygote.wait()
    os.close(follower)
    reader.join(timeout=60)
    os.close(leader)
    return status, b"".join(shown).decode()


def test_postscript_is_not_previewed_on_a_terminal(
    witness: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A good picture is shown; PostScript in its place is not, and the run ends as usual."""
    monkeypatch.setenv("PYTHONUTF8", "1")
    zygote = Zygote()  # of its own, which has the witness on its PATH
    words = [*(word for word in TOY if not word.startswith("plots=")), "metrics=none"]
    status, shown = on_a_terminal(
        zygote, *words, "trainer.steps=5", "trainer.evaluate_every=5", "hydra.run.dir=run",
        cwd=tmp_path,
    )  # fmt: skip
    assert status == 0 and "\u2580" in shown and "completed at step 5" in shown, shown
    (tmp_path / "run" / "samples" / "step_999999.png").write_bytes(EPS)
    status, shown = on_a_terminal(zygote, "resume=run", "trainer.steps=10", cwd=tmp_path)
    zygote.process.stdin.close()
    zygote.process.wait(timeout=60)
    assert status == 0 and "completed at step 10" in shown, shown
    assert "Traceback" not in shown
    assert not witness.exists()


def test_a_preview_of_a_usable_picture_and_of_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("gan_runner.commands.console._supports_images", lambda: True)
    summary = {
        "status": "completed", "steps": 1, "seconds": {"total": 1.0},
        "health": {"state": "ok"}, "accelerate": {"iterations_per_second": {}},
    }  # fmt: skip
    picture = tmp_path / "samples" / "step_000001.png"
    grey(picture)
    print_result(summary, tmp_path)
    assert "\u2580" in capsys.readouterr().out
    picture.write_bytes(EPS)
    print_result(summary, tmp_path)
    assert "\u2580" not in capsys.readouterr().out


def png(width: int, height: int) -> bytes:
    """A paletted image with transparency, of one colour: a few kB whatever its size."""
    rows = zlib.compressobj(9)
    data = b"".join(rows.compress(bytes(1 + width)) for _ in range(height)) + rows.flush()
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
        (b"PLTE", bytes(768)), (b"tRNS", bytes(256)), (b"IDAT", data), (b"IEND", b""),
    )  # fmt: skip
    framed = (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


def archive(member: bytes, *, size: int, method: int = 8) -> bytes:
    """A zip file whose members are `member`, compressed already, and two images; `size` is declared."""
    content = io.BytesIO()
    Image.new("L", (8, 8)).save(content, "png")
    image = content.getvalue()
    files = [
        ("a.png", 0, image, zlib.crc32(image), len(image)),
        ("b.png", 0, image, zlib.crc32(image), len(image)),
        ("bomb.png", method, member, zlib.crc32(bytes(min(size, 1000))), size),
    ]
    body, directory = b"", b""
    for name, kind, data, crc, length in files:
        fields = struct.pack("<HHHHIIIHH", 0, kind, 0, 33, crc, len(data), length, len(name), 0)
        place = struct.pack("<HHHII", 0, 0, 0, 0, len(body))
        directory += b"PK\1\2" + struct.pack("<HH", 20, 20) + fields + place + name.encode()
        body += b"PK\3\4" + struct.pack("<H", 20) + fields + name.encode() + data
    end = struct.pack("<HHHHIIH", 0, 0, 3, 3, len(directory), len(body), 0)
    return body + directory + b"PK\5\6" + end


def zeros(megabytes: int) -> bytes:
    """A raw deflate stream of zeros; a block after a full flush may be repeated."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packer.compress(b"")
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return block * megabytes + packer.flush()


PEAK = """
import re, sys, warnings
from pathlib import Path
from gan_runner.data.image_folder import image_folder
# getrusage would count the memory of the parent before the program was replaced
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    image_folder(path=sys.argv[1], on_bad_file="skip")  # Pillow's plugins are loaded
    before = peak()
    for path in sys.argv[2:]:
        seen.clear()
        image_folder(path=path, on_bad_file="skip", cache="cache")
        print(peak() - before, seen[-1].message)
"""


def test_bombs_are_refused_with_little_memory(tmp_path: Path) -> None:
    """A few kB or MB would take gigabytes, as pixels or as a file; also where the size is a lie."""
    large, small = png(13_000, 13_000), zeros(1500)
    assert len(large) < 200_000 and len(small) < 1_600_000
    assert len(zlib.decompress(zeros(2), -15)) == 2 << 20
    pixels = tmp_path / "pixels"
    for k in range(2):
        grey(pixels / f"{k}.png")
    (pixels / "bomb.png").write_bytes(large)
    (tmp_path / "bytes.zip").write_bytes(archive(small, size=1500 << 20))
    (tmp_path / "lie.zip").write_bytes(archive(small, size=1000))
    (tmp_path / "lzma.zip").write_bytes(archive(b"", size=1000, method=14))
    grey(tmp_path / "good" / "0.png")
    grey(tmp_path / "good" / "1.png")
    paths = [
        str(tmp_path / name) for name in ("good", "pixels", "bytes.zip", "lie.zip", "lzma.zip")
    ]
    run = subprocess.run(
        [sys.executable, "-c", PEAK, *paths], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True,
    )  # fmt: skip
    lines = run.stdout.splitlines()
    reasons = ["are decoded)", "are read)", "(unknown format)", "(compressed with LZMA)"]
    for line, reason in zip(lines, reasons, strict=True):
        grown, _, message = line.partition(" ")
        assert int(grown) < 60_000, line  # kB
        assert "bomb.png (" in message and f"{reason}; skipped" in message


def test_pillow_does_not_warn_beside_the_refusal(tmp_path: Path) -> None:
    for k in range(2):
        grey(tmp_path / f"{k}.png")
    (tmp_path / "large.png").write_bytes(png(10_000, 10_000))
    program = (
        "import sys; from gan_runner.data.image_folder import image_folder;"
        " image_folder(path=sys.argv[1], on_bad_file='skip')"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert "large.png (10000x10000 pixels, at most 50,000,000 are decoded); skipped" in run.stderr
    assert "decompression bomb" not in run.stderr


def test_files_of_sizes_that_are_not_read(tmp_path: Path) -> None:
    with (tmp_path / "sparse.png").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(TooLarge, match="268,435,457 bytes; at most 268,435,456 are read"):
        open_image(tmp_path / "sparse.png")
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(OSError, match="is not a regular file"):
        open_image(tmp_path / "pipe.png")
    assert rgb_image(tmp_path / "pipe.png") is None and rgb_image(tmp_path / "none.png") is None


def tiff(side: int) -> bytes:
    """A grey image of 16x16 pixels that is stored in one tile of `side` pixels."""
    tile = zlib.compress(bytes(256))
    numbers = {
        256: 16, 257: 16, 258: 8, 259: 8, 262: 1, 277: 1, 322: side, 323: side, 324: 8,
        325: len(tile),
    }  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in numbers.items())
    directory = struct.pack("<H", len(numbers)) + entries + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(tile)) + tile + directory


def test_a_tile_may_be_larger_than_its_image() -> None:
    image = open_image(tiff(16))
    assert image.size == (16, 16) and image.convert("L").getextrema() == (0, 0)
    with pytest.raises(TooLarge, match="60000x60000"):
        open_image(tiff(60_000))


@pytest.mark.parametrize("shape", [(1, 300_000), (300_000, 1)])
def test_strips_do_not_become_large(shape: tuple[int, int], tmp_path: Path) -> None:
    """Resized to a width, a narrow strip would have gigapixels."""
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "strip.png").write_bytes(png(*shape))
    with pytest.raises(
        ValueError, match=r"strip\.png \(.* pixels, at most 50,000,000 are decoded\)"
    ):
        image_folder(path=str(tmp_path / "images"), image_size=64)
    assert len(image_to_ansi(tmp_path / "images" / "strip.png", width=8).splitlines()) <= 8
    assert data_uri(tmp_path / "images" / "strip.png", most=10_000) is None


@pytest.mark.parametrize(
    "error", [MemoryError, subprocess.CalledProcessError, Image.DecompressionBombError]
)
def test_errors_of_decoders_name_the_file(
    error: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise error(1, "gs") if error is subprocess.CalledProcessError else error

    grey(tmp_path / "a.png")
    monkeypatch.setattr(folder_module, "_fit", broken)
    bomb = error is Image.DecompressionBombError
    reason = "more than 50,000,000 pixels" if bomb else error.__name__
    with pytest.raises(ValueError, match=rf"a\.png \({reason}\)"):
        image_folder(path=str(tmp_path))


def test_few_images_are_decoded_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 128)
    with images.decoders() as pool:
        assert pool._max_workers == 8
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    with images.decoders() as pool:
        assert pool._max_workers == 1


def test_pictures_of_runs_are_png_files(tmp_path: Path) -> None:
    for form in images.FORMATS:
        Image.new("RGB", (4, 6)).save(tmp_path / "a.png", form)
        assert (rgb_image(tmp_path / "a.png") is not None) == (form == "PNG")


@pytest.mark.parametrize("form", images.FORMATS)
def test_formats_that_are_read(form: str) -> None:
    content = io.BytesIO()
    Image.new("RGB", (4, 6), (255, 0, 0)).save(content, form)
    image = open_image(content.getvalue())
    assert image.size == (4, 6) and image.convert("RGB").getpixel((1, 1))[0] > 250


FILES = sorted([*ROOT.glob("gan_runner/**/*.py"), *ROOT.glob("scripts/**/*.py")])


def opens_images(source: str) -> bool:
    """Whether a module opens image files by itself."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr == "open":
            if ast.unparse(node.value) in {"Image", "PIL.Image"}:
                return True
        elif (
            isinstance(node, ast.ImportFrom) and node.module in {"PIL.Image", "matplotlib.image"}
        ) or (
            isinstance(node, ast.Attribute)
            and node.attr in {"imread", "read_image", "decode_image"}
        ):
            return True
    return False


def test_images_are_opened_in_one_file() -> None:
    assert [p.relative_to(ROOT).as_posix() for p in FILES if opens_images(p.read_text())] == [
        "gan_runner/runs/images.py"
    ]
    assert opens_images("import PIL.Image\nPIL.Image.open(path)")
    assert opens_images("from PIL.Image import open")
    assert not opens_images("path.open()")

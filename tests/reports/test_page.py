"""gan-report: what a page holds, and what it does in a headless browser."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sweep_files import write_run, write_sweep

from gan_runner.commands.report import main as report_main
from gan_runner.reports import page
from gan_runner.reports.curves import read_curves, thin
from gan_runner.reports.images import data_uri
from gan_runner.reports.typeset import typeset

HOSTILE = '</script><img src=x onerror="window.pwned=1">&amp;'
SECRET = "secret/marker"
DRAWN = ["activation", "depth", "norm", "filters"]
# number, generator, critic, GAN's and WGAN-GP's end: a score, or what became of the run
STUDY: list[tuple[Any, tuple[Any, ...], tuple[Any, ...], Any, Any]] = [
    (0, ("relu", 4, True, 32), ("relu", 4, True, 32), 6.0, 8.0),
    (1, ("relu", 20, True, 64), ("tanh", 12, False, 32), 3.0, 7.5),
    (2, ("tanh", 8, False, 128), ("leaky_relu", 8, True, 64), "diverged", 5.5),
    (3, ("tanh", 12, False, 32), ("relu", 20, True, 128), 7.0, 4.0),
    (10, ("softplus_centred", 4, True, 64), ("relu", 4, False, 32), 2.0, 2.5),
    (11, ("relu", 8, False, 32), ("tanh", 4, True, 64), 4.0, "missing"),
    ("baseline", ("relu", 4, True, 64), ("leaky_relu", 4, True, 64), 7.0, 8.5),
]


def picture(path: Path, *, seed: int = 0, side: int = 40) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def log(run_dir: Path, **tags: float) -> None:
    run_dir.mkdir(parents=True, exist_ok=True)
    points = [{"step": 10 * i, **{t: v * (1 + i) for t, v in tags.items()}} for i in range(5)]
    lines = [json.dumps(point) for point in points]
    (run_dir / "metrics.jsonl").write_text("\n".join([*lines, '{"step": 99, "cut']))


def study_dir(folder: Path) -> Path:
    """Seven architectures with two runs each: lost, missing, without a picture, hostile."""
    lines = []
    for place, (name, generator, critic, *ends) in enumerate(STUDY):
        for objective, end in zip(("ns_gan", "wgan_gp"), ends, strict=True):
            run_dir = f"runs/{name}_{objective}"
            line = {
                "architecture": name,
                "objective": objective,
                "run_dir": run_dir,
                "health": "ok",
            }
            line |= {"status": end, "score": ""} if isinstance(end, str) else {}
            line |= {"status": "completed", "score": end} if isinstance(end, float) else {}
            line |= {f"g_{k}": v for k, v in zip(DRAWN, generator, strict=True)}
            line |= {f"d_{k}": v for k, v in zip(DRAWN, critic, strict=True)}
            lines.append(line)
            if name != 1:
                picture(folder / run_dir / "samples" / "step_000040.png", seed=place)
            log(folder / run_dir, **{"images/classifier_score": 1.0, "wasserstein/critic": -0.5})
    lines[0]["health"] = HOSTILE
    lines[1]["run_dir"] = "../elsewhere"
    log(folder / ".." / "elsewhere", **{SECRET: 1.0})
    picture(folder / ".." / "elsewhere" / "samples" / "step_000001.png", seed=99)
    with (folder / "results.csv").open("w") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    facts = {
        "dataset": HOSTILE,
        "score": "images/classifier_score",
        "score_of": "averaged, final",
        "real": 9.5,
        "baseline": {"gan": 7.0, "wgan_gp": 8.5},
        "objectives": ["ns_gan", "wgan_gp"],
    }
    (folder / "study.json").write_text(json.dumps(facts))
    return folder


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report's file, made by the command."""
    folder = study_dir(tmp_path_factory.mktemp("robustness") / "study")
    report_main([str(folder)])
    return folder / "report.html"


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a plain sweep."""
    folder = tmp_path_factory.mktemp("sweep")
    text = ["job,status,objective,seed,dataset.root,seconds,error,final jsd/probe,best jsd/probe"]
    for name, objective, probe in (("a", "gan", 0.5), ("b", "wgan", 0.0625), ("c", "wgan_gp", "")):
        text.append(f"{name},completed,{objective},1,/private,12.5,,{probe},{probe}")
        picture(folder / name / "samples" / "step_000040.png")
        log(folder / name, **{"jsd/probe": 1.0})
    (folder / "sweep.csv").write_text("\n".join(text))
    report_main([str(folder), "--out", str(folder / "elsewhere.html")])
    return folder / "elsewhere.html"


def embedded(path: Path) -> dict[str, Any]:
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', path.read_text())
    assert found
    return json.loads(found[1])


def test_the_page_loads_nothing_and_runs_only_its_own_script(study: Path) -> None:
    text = study.read_text()
    assert text.count("</script>") == 2
    assert "onerror" not in re.sub(r'<script id="data".*', "", text, flags=re.S).replace(
        "&lt;/script&gt;&lt;img src=x onerror=&#34;window.pwned=1&#34;&gt;", ""
    )
    assert set(re.findall(r"https?://[^\s\"']*", text)) == {"http://www.w3.org/2000/svg"}
    policy = re.search(r'Content-Security-Policy" content="(.*?)"', text)
    assert policy
    assert policy[1].startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "unsafe" not in policy[1]


def test_the_page_holds_the_numbers_and_nothing_from_outside_its_folder(study: Path) -> None:
    data = embedded(study)
    assert [row["name"] for row in data["rows"]] == [
        "0",
        "1",
        "2",
        "3",
        "10",
        "11",
        "DCGAN baseline",
    ]
    first = data["rows"][0]
    assert first["cells"]["score_0"] == 6.0
    assert first["cells"]["difference"] == 2.0
    assert ["health", HOSTILE] in first["runs"][0]["facts"]
    assert first["runs"][0]["curves"]["wasserstein/critic"] == [
        [0, 10, 20, 30, 40],
        [-0.5, -1.0, -1.5, -2.0, -2.5],
    ]
    assert first["runs"][1]["picture"] is None
    assert first["runs"][1]["curves"] == {}
    assert data["rows"][1]["runs"][0]["picture"] is None
    assert SECRET not in study.read_text()
    five = next(row for row in data["study"]["thresholds"] if row["threshold"] == 5.0)
    assert five["counts"] == [1, 2, 1, 1]  # 3; 1 and 2, lost by the GAN; 0; 10. 11 has no end yet


def test_data_stays_inside_its_script_element() -> None:
    content = {"a": HOSTILE, "b": "<!--<script>", "c": 'a"b'}
    text = page.as_script(content)
    assert "<" not in text
    assert json.loads(text) == content


def test_thin_keeps_ends_and_extremes() -> None:
    values = [0.0] * 1000
    values[333], values[700] = 5.0, -7.0
    steps, kept = thin(list(range(1000)), values, points=20)
    assert len(steps) <= 20
    assert (steps[0], steps[-1]) == (0, 999)
    assert dict(zip(steps, kept, strict=True)).items() >= {333: 5.0, 700: -7.0}.items()
    assert thin([1, 2], [0.123456, 3], points=2) == ([1, 2], [0.1235, 3])


def test_curves_come_in_the_order_that_people_look_at_them(tmp_path: Path) -> None:
    tags = ["images/a_raw", "images/a", "images/b", "speed/x", "wasserstein/critic", "other/x"]
    log(tmp_path, **dict.fromkeys(["loss/critic", "mine/z", *tags], 1.0))
    read = read_curves(tmp_path / "metrics.jsonl", tags=9, points=9, first=["mine/z", "absent"])
    order = ["mine/z", "images/a", "wasserstein/critic", "other/x", "loss/critic", "images/b"]
    assert list(read) == [*order, "images/a_raw"]
    two = read_curves(tmp_path / "metrics.jsonl", tags=2, points=9)
    assert list(two) == ["images/a", "wasserstein/critic"]
    assert read_curves(tmp_path / "none.jsonl", tags=9, points=9) == {}


def test_pictures_fit_their_budget(tmp_path: Path) -> None:
    picture(tmp_path / "grid.png", side=600)
    small, large = (data_uri(tmp_path / "grid.png", most=most) for most in (12_000, 10**9))
    assert small
    assert large
    head, _, content = small.partition(",")
    assert head == "data:image/webp;base64"
    assert len(base64.b64decode(content)) <= 12_000
    with Image.open(io.BytesIO(base64.b64decode(large.partition(",")[2]))) as shown:
        assert shown.size == (480, 480)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    assert data_uri(tmp_path / "broken.png", most=10**6) is None


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("3e-08", "3 \u00d7 10\u207b\u2078"),
        ("-8 (-9 to +1)", "\u22128 (\u22129 to +1)"),
        ("1", "1"),
    ],
)
def test_numbers_as_printed(text: str, printed: str) -> None:
    assert typeset(text) == printed


def test_a_sweep_is_a_table_of_what_varies(sweep: Path) -> None:
    data = embedded(sweep)
    columns = {column["key"]: column for column in data["columns"]}
    assert list(columns) == ["place", "objective", "status", "seconds", "final jsd/probe"]
    assert columns["objective"]["filter"]
    assert not columns["status"]["filter"]  # there is no choice
    assert [row["cells"]["final jsd/probe"] for row in data["rows"]] == [0.5, 0.0625, None]
    assert data["rows"][0]["lists"] == [
        ["Final", [["jsd/probe", 0.5]]],
        ["Best", [["jsd/probe", 0.5]]],
    ]
    assert all(row["runs"][0]["picture"] for row in data["rows"])
    assert "seed=1" in sweep.read_text()
    assert "/private" not in sweep.read_text()
    assert data["study"] is None


def test_runs_without_a_list_are_found(tmp_path: Path) -> None:
    for name, status in (("10", "completed"), ("9", "diverged")):
        (tmp_path / name).mkdir()
        final = {"jsd/probe": 0.5, "grad_norm/critic": None}
        summary = {"status": status, "seconds": {"total": 2.5}, "final": final}
        summary["health"] = {"state": "stalled"}
        (tmp_path / name / "summary.json").write_text(json.dumps(summary))
    report_main([str(tmp_path)])
    rows = embedded(tmp_path / "report.html")["rows"]
    assert [(row["cells"]["run"], row["cells"]["status"]) for row in rows] == [
        (9, "diverged"),
        (10, "completed"),
    ]
    assert rows[0]["cells"]["final jsd/probe"] == 0.5
    assert ["health", "stalled"] in rows[0]["runs"][0]["facts"]


def test_an_empty_folder_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        report_main([str(tmp_path)])
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "report.html").exists()


def test_a_study_that_has_not_begun_has_a_page(tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text("{}")
    report_main([str(tmp_path)])
    assert "0 of 0 architectures" in (tmp_path / "report.html").read_text()


# In a browser.


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A headless Chromium without network."""
    webdriver = pytest.importorskip("selenium.webdriver")
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not browser or not driver:
        pytest.skip("no chromium with its chromedriver")
    with tempfile.TemporaryDirectory() as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = browser
        switches = "headless no-sandbox disable-gpu disable-quic no-first-run disable-sync"
        switches += " disable-background-networking disable-component-update"
        for switch in (*switches.split(), f"user-data-dir={profile}"):
            options.add_argument(f"--{switch}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        service = webdriver.ChromeService(executable_path=driver)
        found = webdriver.Chrome(options=options, service=service)
        yield found
        found.quit()


class Page:
    """A report in the browser: what a reader sees of it, and what he does."""

    def __init__(self, chromium: Any, path: Path, *, width: int, scheme: str) -> None:
        self.chromium = chromium
        metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
        chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        chromium.get_log("browser")
        chromium.get(path.as_uri())

    def run(self, script: str, *arguments: Any) -> Any:
        """What a line of JavaScript gives."""
        return self.chromium.execute_script(script, *arguments)

    def find(self, selector: str) -> Any:
        """The first element of a CSS selector."""
        return self.chromium.find_element("css selector", selector)

    def choose(self, key: str, value: str) -> None:
        """Choose in the filter of a column."""
        option = f"#filters select[data-key='{key}'] option[value='{value}']"
        self.find(option).click()

    @property
    def names(self) -> list[str]:
        """The rows in the order in which they stand there."""
        script = "return [...document.querySelectorAll('.opener')].map((b) => b.textContent)"
        return self.run(script)

    def colours(self, screenshot: Path) -> tuple[int, tuple[int, ...]]:
        """How many colours the window shows, and the one of its upper left corner."""
        self.chromium.save_screenshot(str(screenshot))
        with Image.open(screenshot).convert("RGB") as shown:
            return len(shown.getcolors(1 << 20) or []), shown.getpixel((2, 2))

    def wait(self, script: str) -> None:
        """Until a line of JavaScript gives a true value."""
        end = time.monotonic() + 20
        while not self.run(script):
            assert time.monotonic() < end, script
            time.sleep(0.02)


@pytest.fixture
def opened(chromium: Any) -> Iterator[Callable[..., Page]]:
    """Open a report; at the end the browser must have had nothing to complain about."""
    yield lambda path, *, width=1280, scheme="light": Page(
        chromium, path, width=width, scheme=scheme
    )
    assert chromium.get_log("browser") == []
    assert chromium.execute_script("return window.pwned === undefined")


@pytest.mark.parametrize("score", [1e17, 1e300, 2.0**53, -1e17])
def test_the_axes_of_huge_values_end(
    opened: Callable[..., Page], tmp_path: Path, score: float
) -> None:
    """Above 2^53, counting up stands still."""
    folder = study_dir(tmp_path / "study")
    text = (folder / "results.csv").read_text()
    (folder / "results.csv").write_text(text.replace(",8.0,", f",{score},"))
    log(folder / "runs" / "0_ns_gan", **{"wasserstein/critic": score})
    report_main([str(folder)])
    page = opened(folder / "report.html")
    for low, high in ((score, score), (score, score + 1), (0.0, score), (-abs(score), abs(score))):
        count = page.run("return ticks(arguments[0], arguments[1], 10).length", low, high)
        assert count <= 20, (low, high)
    assert page.run("return ticks(0, 1, 10).length") == 11
    assert len(page.names) == 7


def test_rows_sort(study: Path, opened: Callable[..., Page]) -> None:
    shown = opened(study)
    assert shown.names == ["0", "1", "2", "3", "10", "11", "DCGAN baseline"]
    header = shown.find("th[data-key=score_1]")
    header.find_element("tag name", "button").click()
    assert header.get_attribute("aria-sort") == "ascending"
    assert shown.names == ["10", "3", "2", "1", "0", "DCGAN baseline", "11"]  # unknown comes last
    header.find_element("tag name", "button").send_keys("\ue007")  # Enter
    assert header.get_attribute("aria-sort") == "descending"
    assert shown.names == ["DCGAN baseline", "0", "1", "2", "3", "10", "11"]
    assert shown.find("th[data-key=architecture]").get_attribute("aria-sort") == "none"


@pytest.mark.slow
def test_rows_filter(study: Path, opened: Callable[..., Page]) -> None:
    shown = opened(study)
    shown.choose("g_activation", "ReLU")
    assert shown.names == ["0", "1", "11", "DCGAN baseline"]
    shown.choose("d_depth", "4")
    assert shown.names == ["0", "11", "DCGAN baseline"]
    assert shown.find("#shown").text.startswith("2 of 6 architectures.")
    shown.find("#filters button[type=reset]").click()
    assert len(shown.names) == 7
    shown.find("input[type=search]").send_keys("diverged")
    assert shown.names == ["2"]
    shown.find("#filters button[type=reset]").click()
    shown.choose("outcome", "second")
    assert shown.names == ["1", "2"]


@pytest.mark.slow
def test_everything_follows_the_threshold(study: Path, opened: Callable[..., Page]) -> None:
    shown = opened(study)
    tiles = "return [...document.querySelectorAll('.tile b')].map((b) => +b.textContent)"
    assert shown.run(tiles) == [1, 2, 1, 1]
    shown.find("#threshold").send_keys("\ue014\ue014\ue014\ue014")  # four times right: 7.0
    assert shown.find("#threshold-value").text == "> 7.0"
    assert shown.run(tiles) == [0, 2, 0, 3]
    assert "p = 0.25." in shown.find("#verdict").text
    shown.choose("outcome", "neither")
    assert shown.names == ["2", "3", "10"]  # 3 scores 7.0, which is not above
    chosen = shown.run("return document.querySelector('tbody.chosen').dataset.threshold")
    assert chosen == "7.0"
    shown.find("[data-section=absolute] tbody[data-threshold='2.0'] td").click()
    assert shown.find("#threshold-value").text == "> 2.0"


@pytest.mark.slow
def test_a_row_opens(study: Path, opened: Callable[..., Page]) -> None:
    shown = opened(study)
    button = shown.find("#row-0 .opener")
    button.click()
    assert button.get_attribute("aria-expanded") == "true"
    shown.wait("return document.querySelectorAll('.detail .curve path.line').length === 2")
    pictures = "return [...document.querySelectorAll('.detail img')].map((i) => i.naturalWidth)"
    shown.wait("return document.querySelector('.detail img').complete")
    assert shown.run(pictures) == [40]
    text = shown.find(".detail").text
    assert HOSTILE in text
    assert "No samples" in text
    assert "images/classifier_score" in text
    button.send_keys("\ue007")
    assert not shown.run("return document.querySelector('.detail')")
    shown.run("document.querySelector('#scatter-chart circle').dispatchEvent(new Event('click'))")
    assert shown.run("return Boolean(document.querySelector('.detail'))")


@pytest.mark.slow
def test_the_charts_are_drawn(study: Path, opened: Callable[..., Page]) -> None:
    shown = opened(study)
    assert shown.run("return document.querySelectorAll('#scatter-chart circle').length") == 5
    # of five scores 2, 3, 6, 7 and a lost run's, four are above 1: the curve starts at 80%
    start = "document.querySelector('#success-chart .line.first').getPointAtLength(0).y"
    axis = "document.querySelectorAll('#success-chart .grid line')"
    share = f"const a = {axis}; const y = (i) => +a[i].getAttribute('y1');"
    found = shown.run(f"{share} return ({start} - y(0)) / (y(a.length - 1) - y(0))")
    assert found == pytest.approx(0.8, abs=0.01)


@pytest.mark.slow
def test_light_and_dark(study: Path, opened: Callable[..., Page], tmp_path: Path) -> None:
    shown = opened(study, scheme="dark")
    many, corner = shown.colours(tmp_path / "dark.png")
    assert many > 100
    assert max(corner) < 60
    shown.find("#theme").click()  # from auto to light
    assert min(shown.colours(tmp_path / "light.png")[1]) > 200


@pytest.mark.slow
@pytest.mark.parametrize("name", ["study", "sweep"])
def test_nothing_is_wider_than_a_phone(
    name: str, request: pytest.FixtureRequest, opened: Callable[..., Page], tmp_path: Path
) -> None:
    shown = opened(request.getfixturevalue(name), width=375)
    shown.find("#row-0 .opener").click()
    shown.wait("return document.querySelectorAll('.detail .curve path.line').length > 0")
    assert shown.run("return document.documentElement.scrollWidth") == 375
    assert not shown.find(".rows thead").is_displayed()
    assert shown.colours(tmp_path / "phone.png")[0] > 100


@pytest.mark.slow
@pytest.mark.parametrize("width", [800, 1000, 1280])
def test_what_a_row_opens_to_is_in_sight(
    study: Path, opened: Callable[..., Page], width: int
) -> None:
    """Also where the rows themselves are wider than the window and scroll."""
    shown = opened(study, width=width)
    shown.find("#row-0 .opener").click()
    shown.wait("return document.querySelectorAll('.detail .curve path.line').length > 0")
    right = "return document.querySelector('%s').getBoundingClientRect().right"
    assert shown.run(right % ".details") <= shown.run(right % ".rows-frame")
    assert shown.run(right % ".details .lists") <= shown.run(right % ".rows-frame")


@pytest.mark.slow
def test_a_sweep_sorts_filters_and_opens(sweep: Path, opened: Callable[..., Page]) -> None:
    shown = opened(sweep)
    shown.find("th[data-key='final jsd/probe'] button").click()
    assert shown.names == ["1", "0", "2"]
    shown.choose("objective", "wgan")
    assert shown.names == ["1"]
    shown.find(".opener").click()
    shown.wait("return document.querySelectorAll('.detail .curve path.line').length === 1")


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a sweep of two objectives and three seeds, and of three learning rates."""
    folder = write_sweep(tmp_path_factory.mktemp("seeds"))
    for number, rate in enumerate((1e-4, 1e-3, 1e-2)):
        run = write_run(folder / f"rate_{number}", "gan", 0, 1.0, number=9 + number)
        note = json.loads((run / "job.json").read_text())
        note["overrides"].append(f"optimizer.lr={rate}")
        (run / "job.json").write_text(json.dumps(note))
    report_main([str(folder)])
    return folder / "report.html"


@pytest.mark.slow
def test_the_runs_of_a_sweep_are_drawn_together(seeds: Path, opened: Callable[..., Page]) -> None:
    shown = opened(seeds)
    count = "return document.querySelectorAll('%s').length"
    shown.wait(count % "#group-charts .band" + " > 0")
    assert shown.run(count % "#group-charts figure") == 2
    assert shown.run(count % "#group-charts figure:first-child path.band") == 5
    assert shown.run(count % "#parameter-charts circle") == 3
    assert "wgan_gp (n = 3)" in shown.find("#groups-legend").text
    assert shown.find("#groups-legend").text.endswith("real data")
    assert shown.run(count % "#group-charts figure:first-child line.floor") == 1
    assert shown.run(count % "#group-charts line.floor") == 1  # jsd/probe has none
    assert shown.find("#group-charts .label").text == "generator updates"
    assert "wgan_gp (n = 3) 3.25" in shown.find("#group-charts output").text
    assert shown.run("return document.documentElement.scrollWidth") <= 1280


@pytest.mark.slow
def test_single_points_of_equal_values_stand_side_by_side(
    tmp_path: Path, opened: Callable[..., Page]
) -> None:
    folder = write_sweep(tmp_path)
    for path in folder.glob("*/metrics.jsonl"):
        *points, last = [json.loads(line) for line in path.read_text().splitlines()]
        lines = [{k: v for k, v in point.items() if k != "jsd/probe"} for point in points]
        path.write_text("".join(json.dumps(line) + "\n" for line in [*lines, last]))
    report_main([str(folder)])
    shown = opened(folder / "report.html")
    rings = "[...document.querySelectorAll('#group-charts figure:nth-child(2) circle.ring')]"
    shown.wait(f"return {rings}.length > 0")
    places = shown.run(f"return {rings}.map((c) => [c.getAttribute('cx'), c.getAttribute('cy')])")
    (first, level), (second, same) = ([float(x) for x in place] for place in places)
    assert second - first == pytest.approx(9) and level == same
    marks = "[...document.querySelectorAll('#group-charts svg')].map((s) => s.textContent)"
    steps = [re.findall(r"10|20|30", text) for text in shown.run(f"return {marks}")]
    assert steps[0] and steps[0][-3:] == steps[1][-3:]  # the same axis


@pytest.mark.slow
def test_heads_stand_above_their_numbers(study: Path, opened: Callable[..., Page]) -> None:
    shown = opened(study)
    script = (
        "return [...document.querySelectorAll('table.result')].flatMap((t) =>"
        " [...t.tHead.rows[0].cells].map((c, k) => [c, t.tBodies[0].rows[0].cells[k]]"
        ".map((e) => getComputedStyle(e).textAlign)))"
    )
    sides = shown.run(script)
    assert sides and all(head == cell for head, cell in sides)
    assert ["right", "right"] in sides and ["left", "left"] in sides

"""The table of a sweep, and TensorBoard's page of hyperparameters."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Zygote
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams.backend_context import Context
from tensorboard.plugins.hparams.list_session_groups import Handler
from toy_runs import QUICK

from gan_runner.commands.table import main as table_main
from gan_runner.sweeps import table
from gan_runner.sweeps.jobs import Job


@pytest.fixture(scope="module")
def swept(zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A sweep with an outcome of each kind, and what it printed."""
    cwd = tmp_path_factory.mktemp("swept")
    jobs = ("seed=0,-1", "optimizer.lr=1e-3,1e30", "metrics=default")
    code, out = zygote.run(cwd, "-m", *QUICK, *jobs, "hydra.sweep.dir=s")
    assert code == 1, out
    return cwd / "s", out


def test_the_table_is_made_from_files_alone(
    swept: tuple[Path, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = swept
    written = {name: (folder / name).read_text() for name in ("sweep.csv", "sweep.md")}
    for name in written:
        (folder / name).unlink()
    monkeypatch.setattr("sys.argv", ["gan-table", str(folder)])
    table_main()
    assert capsys.readouterr().out.strip() in out
    assert written == {name: (folder / name).read_text() for name in written}

    with (folder / "sweep.csv").open() as file:
        rows = {(row["seed"], row["optimizer.lr"]): row for row in csv.DictReader(file)}
    assert {key: row["status"] for key, row in rows.items()} == {
        ("0", "0.001"): "completed", ("0", "1e+30"): "diverged",
        ("-1", "0.001"): "failed", ("-1", "1e+30"): "failed",
    }  # fmt: skip
    good = rows["0", "0.001"]
    summary = json.loads((folder / good["job"] / "summary.json").read_text())
    assert (good["steps"], good["error"], good["objective"]) == ("20", "", "gan")
    for tag, value in summary["final"].items():
        assert float(good[f"final {tag}"]) == value
        best = summary["best"].get(tag)
        assert good.get(f"best {tag}", "") == ("" if best is None else str(best["value"]))
    assert rows["-1", "0.001"]["error"].startswith("seed=-1: should be greater than or equal to 0")
    ill = rows["0", "1e+30"]
    assert ill["error"].startswith("diverged since step 1 (loss/critic is not finite)")
    assert (good["health"], ill["health"]) == ("ok", "diverged")
    md = written["sweep.md"].splitlines()
    decides = summary["settings"]["checkpoint_metric"]
    shown = (
        summary["final"]["jsd/probe"],
        summary["final"][decides],
        summary["best"][decides]["value"],
    )
    cells = " | ".join(f"{value:#.4g}" for value in shown)
    (line,) = [line for line in md if line.startswith("| 0 | 0.001 | completed | ok | 20 |")]
    assert line.endswith(f"| {cells} | - |")


def test_errors_that_are_cut_are_shown_whole_below() -> None:
    """Once each, the most frequent first."""

    def failed(k: int, error: str) -> Job:
        return Job(Path(f"s/{k}"), [f"seed={k}"], "failed", error)

    long = [f"trainer.steps={k}: {'so much is wrong with it that ' * 3}see {k}" for k in range(5)]
    jobs = [failed(k, long[k // 2]) for k in range(9)] + [failed(9, "short")]
    *_, first, second, third, last = table.terminal_table(jobs).splitlines()
    assert [first, second, third] == [f"  2 x {long[k]}" for k in range(3)]
    assert last == "  2 more in output.txt of the jobs' folders"


def test_what_is_no_sweep_has_no_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["gan-table", str(tmp_path)])
    with pytest.raises(SystemExit, match="2"):
        table_main()
    assert "is not the directory of a sweep" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_pack_has_a_row_for_each_replica() -> None:
    runs = {
        f"replica_{k}": {"status": status, "steps": 9, "seed": 4 + k, "final": {"jsd/probe": k / 2},
                         "best": {}}
        for k, status in enumerate(("completed", "diverged"))
    }  # fmt: skip
    summary = {"status": "diverged", "steps": 9, "seconds": {"total": 1.0}, "replicas": runs}
    job = Job(Path("s/x"), ["seed=4", "trainer.replicas=2"], "diverged", summary=summary)
    rows = table.rows_of(job)
    assert [(r["job"], r["seed"], r["status"], r["final jsd/probe"]) for r in rows] == [
        ("x/replica_0", 4, "completed", 0.0), ("x/replica_1", 5, "diverged", 0.5),
    ]  # fmt: skip
    assert "jsd/probe 0.2500" in table.line(job, [job])


def session_groups(folder: Path) -> dict[str, tuple[dict[str, Any], dict[str, float], int]]:
    """TensorBoard's HParams page: hyperparameters, metrics and status by run."""
    runs = EventMultiplexer()
    runs.AddRunsFromDirectory(str(folder))
    runs.Reload()
    context = Context(TBContext(data_provider=MultiplexerDataProvider(runs, str(folder))))
    every = api_pb2.Status.values()
    request = api_pb2.ListSessionGroupsRequest(slice_size=99, allowed_statuses=every)
    groups = Handler(RequestContext(), context, "", request).run().session_groups
    return {
        group.sessions[0].name: (
            {k: v.string_value or v.number_value for k, v in group.hparams.items()},
            {m.name.tag: m.value for m in group.metric_values},
            group.sessions[0].status,
        )
        for group in groups
    }


def test_hparams_in_tensorboard(swept: tuple[Path, str]) -> None:
    folder, _ = swept
    page = session_groups(folder)
    assert len(page) == 2  # the others never began to train
    for name, (made, metrics, status) in page.items():
        summary = json.loads((folder / name / "summary.json").read_text())
        assert made["objective"] == "gan" and made["seed"] == 0 and made["trainer.steps"] == 20
        assert made["optimizer.lr"] in (1e-3, 1e30)
        well = made["optimizer.lr"] == 1e-3
        assert status == (api_pb2.STATUS_SUCCESS if well else api_pb2.STATUS_FAILURE)
        if well:
            assert metrics == pytest.approx(summary["final"], rel=1e-6)

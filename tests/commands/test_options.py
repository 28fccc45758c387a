"""A wrong option of a command: one line with the option and the fix, for every command."""

from __future__ import annotations

import re
from importlib import import_module

import pytest

COMMANDS = {
    "sample": "RUN_DIR", "evaluate": "WHAT", "verify": "RUN_DIR", "export": "RUN_DIR",
    "compare": "RUN_DIR", "table": "SWEEP_DIR", "plot": "DIR", "report": "SWEEP_DIR",
}  # fmt: skip


def line(capsys: pytest.CaptureFixture[str], command: str, *arguments: str) -> str:
    main = import_module(f"gan_runner.commands.{command}").main
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    out, error = capsys.readouterr()
    assert stop.value.code == 2 and not out and "usage" not in error
    (found,) = error.splitlines()
    assert found.startswith(f"gan-{command}: ")
    return found.removeprefix(f"gan-{command}: ")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_answers_in_one_line(
    capsys: pytest.CaptureFixture[str], command: str
) -> None:
    name = COMMANDS[command]
    missing = line(capsys, command)
    assert missing == f"{name}: is missing; gan-{command} --help explains it"
    unknown = line(capsys, command, "x", "--hepl")
    assert unknown == "--hepl: no such option; did you mean --help?"
    assert "; choose one of: --" in line(capsys, command, "x", "--qqqqqq=3")


WRONG = {
    ("compare", "x", "--at", "epochs=3"): "--at epochs=3: should be step=N, critic_updates=N, "
    "seconds=N with N above 0",
    ("compare", "x", "--final", "--best"): "--best: cannot stand beside --final; leave one of them",
    ("evaluate", "x", "--protocol", "fid"): r"--protocol fid: no such option; .*fid50k_train",
    ("evaluate", "x", "--network", "Inception"): r"--network Inception: .*did you mean inception\?",
    ("evaluate", "x", "--allow", "os"): r"--allow 'os': should be a package's name and a dot",
    ("table", "x", "--over"): "--over: its value is missing; write --over KEY$",
    ("table", "x", "--latex=yes"): "--latex=yes: takes no value; write --latex$",
    ("table", "x", ""): "'': not expected here; gan-table --help shows the arguments",
    ("sample", "x", "--count", "many"): "--count many: should be a whole number",
    ("sample", "x", "--step-size", "big"): "--step-size big: should be a number",
    ("sample", "x", "--co", "3"): "--co: could be --count, --code; write it in full",
    ("plot", "x", "--band", "sdt"): r"--band sdt: no such option; did you mean std\?",
}


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_a_wrong_value_names_the_option_and_the_fix(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    found = line(capsys, *words)
    assert re.match(WRONG[words], found), found

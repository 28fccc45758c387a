"""The parser of the options of gan-sample, gan-evaluate and the like: one line for each error."""

from __future__ import annotations

import argparse
import re
import sys
from typing import NoReturn

from gan_runner.config.words import suggestion
from gan_runner.runs.printable import echo

USAGE_ERROR = 2
_ARGUMENT = re.compile(r"argument (?P<name>\S+?)(?:/\S+)?: (?P<problem>.*)", re.DOTALL)
_NUMBERS = {"int": "a whole number", "float": "a number"}


class OptionParser(argparse.ArgumentParser):
    """A parser whose errors have the form `--KEY VALUE: problem; fix`, without the usage."""

    def error(self, message: str) -> NoReturn:
        """Print one line to standard error and exit with status 2."""
        echo(f"{self.prog}: {line_of(self, message)}", error=True)
        sys.exit(USAGE_ERROR)


def line_of(parser: argparse.ArgumentParser, message: str) -> str:
    """Return argparse's message in the form of this package's errors."""
    if match := _ARGUMENT.fullmatch(message):
        return _of_argument(parser, match["name"], match["problem"])
    if match := re.fullmatch(r"unrecognized arguments: (.*)", message, re.DOTALL):
        return _unknown(parser, match[1])
    if match := re.fullmatch(r"the following arguments are required: (.*)", message):
        return f"{match[1]}: is missing; {parser.prog} --help explains it"
    if match := re.fullmatch(r"ambiguous option: (\S+) could match (.*)", message):
        return f"{match[1]}: could be {match[2]}; write it in full"
    return message


def _of_argument(parser: argparse.ArgumentParser, name: str, problem: str) -> str:
    if match := re.fullmatch(r"invalid choice: (.*) \(choose from (.*)\)", problem):
        value, names = match[1].strip("'"), [n.strip("'") for n in match[2].split(", ")]
        hint = suggestion(value, names)
        options = f" (options: {', '.join(names)})" if "did you mean" in hint else ""
        return f"{name} {value}: no such option{hint}{options}"
    if match := re.fullmatch(r"invalid (int|float) value: '(.*)'", problem):
        kind = _NUMBERS[match[1]]
        return f"{name} {match[2]}: should be {kind}; {parser.prog} --help explains it"
    if problem.startswith("expected"):
        return f"{name}: its value is missing; write {_form(parser, name)}"
    if match := re.fullmatch(r"not allowed with argument (.*)", problem):
        return f"{name}: cannot stand beside {match[1]}; leave one of them out"
    if match := re.fullmatch(r"ignored explicit argument '(.*)'", problem):
        return f"{name}={match[1]}: takes no value; write {name}"
    return f"{name} {problem}"


def _form(parser: argparse.ArgumentParser, name: str) -> str:
    """Return an option with the name of its value, as the usage has it."""
    usage = " ".join(parser.format_usage().split())
    match = re.search(rf"\[({re.escape(name)} [^\]]+)\]", usage)
    return match[1] if match else f"{name} VALUE"


def _unknown(parser: argparse.ArgumentParser, words: str) -> str:
    first, *_ = words.split() or ["''"]  # an empty word of a script
    if not first.startswith("-"):
        return (
            f"{words.strip() or first}: not expected here; {parser.prog} --help shows the arguments"
        )
    name = first.partition("=")[0]
    valid = sorted({"--help", *re.findall(r"--[\w-]+", parser.format_usage())})
    return f"{first}: no such option{suggestion(name, valid)}"

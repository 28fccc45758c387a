"""The text of `gan-run --help GROUP`: its options and its keys, in the words of cards and code.

The words for a key are the comment on its line of the card, else its entry in the docstring of the
node's target. Docstrings are read from source files, so that torch is not imported.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import hydra
import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gan_runner.config.compose import config_dir
from gan_runner.config.errors import UsageError
from gan_runner.config.key_hints import groups_listed, options_of
from gan_runner.config.outside import check_contents
from gan_runner.config.paths import quoted_path
from gan_runner.config.words import suggestion
from gan_runner.runs.printable import printable_cell

_WIDTH, _INDENT = 100, 4
_PACKAGE = Path(__file__).resolve().parents[1]
_LINE = re.compile(r"^( *)([\w/ ]+):(.*)$")
_ENTRY = re.compile(r"^ *(\w+): +(\S.*)$")
_HEADS = ("Args:", "Attributes:")


def group_help(words: Sequence[str], own: Sequence[Path] = ()) -> str:
    """Return the help for a group, composed with the overrides among the words.

    Args:
        words: names of groups, and overrides.
        own: folders of further groups and options, as in `--config-dir`; their targets are not
            imported, so that the words for their keys are the comments of the cards alone.

    Raises:
        UsageError: the group does not exist.
        hydra.errors.HydraException: an override or a file of an own folder is wrong.
    """
    folders = [config_dir(), *own]
    names = [word for word in words if "=" not in word]
    groups = sorted({path.name for f in folders for path in f.iterdir() if path.is_dir()})
    for name in names:
        if name not in groups:
            raise UsageError(f"--help {name}: {_no_group(name, groups, folders)}")
    overrides = [word for word in words if "=" in word]
    return "\n\n".join(_page(name, overrides, folders) for name in names)


def _no_group(name: str, groups: Sequence[str], folders: Sequence[Path]) -> str:
    """Return the fault of a name that is not a group's: an option's, a key's or a typo."""
    name = name.strip("-+")
    having = [group for group in groups if name.lower() in options_of(folders, group)]
    if len(having) == 1:
        plus = "" if having[0] in groups_listed(folders) else "+"
        words = f"{having[0]} {plus}{having[0]}={name.lower()}"
        return f"is an option of {having[0]}; write gan-run --help {words}"
    if having:
        return f"is an option of {', '.join(having)}; write gan-run --help GROUP GROUP={name}"
    if name.partition(".")[0] in groups:
        return f"is not a group; write gan-run --help {name.partition('.')[0]}"
    return f"no such group{suggestion(name, groups)}"


def _page(group: str, overrides: Sequence[str], folders: Sequence[Path]) -> str:
    """Return the help for one group."""
    places = ",".join(f"'file://{quoted_path(folder.resolve())}'" for folder in folders[1:])
    search = [f"hydra.searchpath=[{places}]"] if places else []
    with hydra.initialize_config_dir(str(config_dir()), version_base="1.3"):
        cfg = hydra.compose("config", overrides=[*search, *overrides], return_hydra_config=True)
    option = cfg.hydra.runtime.choices.get(group)
    cards = _cards(group, folders)
    options = {name: _heading(cards[name], whole=name == option) for name in sorted(cards)}
    is_added = f"+{group}={option}" in overrides or group not in cfg.hydra.runtime.choices
    plus = "+" if is_added else ""
    lines = [f"{plus}{group}=OPTION, one of:", ""]
    lines += [line for name, text in options.items() for line in _entry(name, text)]
    if option not in options:
        example = f"gan-run --help {group} {plus}{group}={max(cards)}"
        lines += ["", f"For the keys of an option: {example}"]
        return "\n".join(lines)
    place = _package(cards[option]) or group
    node, comments = OmegaConf.select(cfg, place), dict(_comments(cards, option))
    if not isinstance(node, DictConfig):  # a recipe, whose keys are those of other groups
        return "\n".join(lines)
    rows = list(_keys(place, node, comments))
    lines += ["", f"Keys of {group}={option}:{'' if rows else ' none'}"]
    return "\n".join([*lines, *([""] if rows else []), *(w for row in rows for w in _entry(*row))])


def _cards(group: str, folders: Sequence[Path]) -> dict[str, Path]:
    """Return the file of each option of a group; the first folder that has it counts."""
    paths = [path for folder in folders for path in sorted((folder / group).glob("*.yaml"))]
    for path in paths:
        check_contents(str(path), str(config_dir()))
    return {path.stem: path for path in reversed(paths)}


def _read(card: Path) -> str:
    return card.read_text(encoding="utf-8-sig", errors="replace")


def _entry(name: str, text: str) -> list[str]:
    """Return a name, and its words below it, wrapped; indented lines of them stay as they are."""
    indent = " " * _INDENT
    lines = [f"  {printable_cell(name)}"]
    for stays, part in groupby(text.splitlines(), lambda line: line.startswith(" ")):
        if stays:
            lines += [f"{indent}{line}" for line in part]
        else:
            words = " ".join(part)
            lines += textwrap.wrap(words, _WIDTH, initial_indent=indent, subsequent_indent=indent)
    return lines


def _heading(card: Path, *, whole: bool) -> str:
    """Return the first sentences, or the whole, of the comment that a card begins with."""
    lines = _read(card).splitlines()
    comments = [line[2:] for line in lines if line.startswith("# ") and "@package" not in line]
    text = "\n".join(comments[: _until_blank(lines)])
    return text if whole else re.split(r"(?<=[a-z\d)]\.)\s+(?=[A-Z])", text)[0]


def _package(card: Path) -> str | None:
    """Return the node that a card fills, by its `@package`: "" for the root, None for its group."""
    found = re.match(r"# @package (\S+)", _read(card))
    return None if found is None else "" if found[1] == "_global_" else found[1]


def _until_blank(lines: Sequence[str]) -> int:
    """Return the number of comment lines at the top of a card."""
    own = [line for line in lines if "@package" not in line]
    return next((k for k, line in enumerate(own) if not line.startswith("#")), len(own))


def _keys(path: str, node: DictConfig, comments: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield `key=value` and its words for every leaf below a node."""
    plain: Any = OmegaConf.to_container(node, resolve=False)
    target = plain.get("_target_")
    documented = _documented(str(target)) if target else {}
    for key in node:
        name = str(key)
        if name.startswith("_"):
            continue
        here, value = f"{path}.{name}", _value(node, name)
        shared = f"{path.partition('.')[0]}.{name}" if _follows(plain, name) else ""
        words = comments.get(here) or documented.get(name) or comments.get(shared, "")
        if isinstance(value, DictConfig) and len(value):
            yield from ([(here, words)] if words else [])
            yield from _keys(here, value, comments)
        else:
            yield f"{here}={_text(value)}", words


def _follows(plain: Mapping[str, Any], key: str) -> bool:
    """Return whether a key of an unresolved node takes its value from the same key further out."""
    return re.fullmatch(rf"\$\{{\.\.+{key}\}}", str(plain[key])) is not None


def _value(node: DictConfig, key: str) -> Any:
    try:
        return node[key]
    except OmegaConfBaseException:  # an interpolation that needs another option
        return OmegaConf.to_container(node, resolve=False)[key]  # type: ignore[index,call-overload]


def _text(value: Any) -> str:
    plain = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
    return yaml.safe_dump(plain, default_flow_style=True).removesuffix("\n...\n").strip()


def _comments(cards: Mapping[str, Path], option: str) -> Iterator[tuple[str, str]]:
    """Yield (key, comment) for the lines of a card and of the cards in its defaults list."""
    if option not in cards:
        return
    card = cards[option]
    text = _read(card)
    for default in (yaml.safe_load(text) or {}).get("defaults", ()):
        if isinstance(default, str) and default != "_self_":
            yield from _comments(cards, default)
    root = _package(card)
    stack = [] if root == "" else [(-1, root or card.parent.name)]
    for line in text.splitlines():
        if (found := _LINE.match(line)) is None:
            continue
        indent = len(found[1])
        while stack and stack[-1][0] >= indent:
            stack.pop()
        stack.append((indent, found[2].strip()))
        _, hash_sign, comment = found[3].partition(" # ")
        if hash_sign:
            yield ".".join(key for _, key in stack), comment.strip()


@cache
def _documented(target: str) -> dict[str, str]:
    """Return {argument: words} of a class or function of the package, from its docstring."""
    module, _, name = target.rpartition(".")
    path = _PACKAGE.parent.joinpath(*module.split(".")).with_suffix(".py")
    if not path.is_relative_to(_PACKAGE) or not path.is_file():
        return {}
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = [
        n for n in tree.body if isinstance(n, ast.ClassDef | ast.FunctionDef) and n.name == name
    ]
    return _arguments(ast.get_docstring(nodes[0]) or "") if nodes else {}


def _arguments(docstring: str) -> dict[str, str]:
    """Return the entries under Args or Attributes, continuation lines joined."""
    words: dict[str, str] = {}
    inside, name, indent = False, "", 0
    for line in docstring.splitlines():
        if not line.startswith(" "):
            inside = line.strip() in _HEADS
            continue
        depth = len(line) - len(line.lstrip())
        entry = _ENTRY.match(line) if inside and (not name or depth <= indent) else None
        if entry:
            name, indent = entry[1], depth
            words[name] = entry[2]
        elif inside and name:
            words[name] += f" {line.strip()}"
    return words

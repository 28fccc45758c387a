"""Every use of a private name of Hydra, each with a test that it is there; see `private_apis`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from importlib import import_module
from typing import Any, NamedTuple


def parse_overrides(words: Sequence[str]) -> list[Any]:
    """Parse overrides, with the options of the groups where Hydra is running."""
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.override_parser.overrides_parser import OverridesParser

    loader = _config_loader() if GlobalHydra.instance().is_initialized() else None
    return OverridesParser.create(config_loader=loader).parse_overrides(list(words))


def combinations(overrides: Sequence[Any]) -> list[list[str]]:
    """Return the jobs of Hydra's basic sweeper: every combination of the values of a sweep."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    jobs: list[list[str]] = BasicSweeper.split_arguments(list(overrides), None)[0]
    return jobs


@contextmanager
def launching(jobs: Sequence[Sequence[str]]) -> Iterator[None]:
    """Make Hydra's basic sweeper launch these jobs instead of all combinations of its lists."""
    # Hydra executes its plugins' modules again: the class that it uses is found by its module now.
    sweeper = import_module("hydra._internal.core_plugins.basic_sweeper").BasicSweeper
    original = sweeper.split_arguments
    sweeper.split_arguments = staticmethod(lambda overrides, max_batch_size: [jobs])
    try:
        yield
    finally:
        sweeper.split_arguments = staticmethod(original)


def compose_job(config: Any, overrides: Sequence[str]) -> Any:
    """Compose the configuration of one job of a running sweep."""
    return _config_loader().load_sweep_config(config, list(overrides))


def _config_loader() -> Any:
    from hydra.core.global_hydra import GlobalHydra

    return GlobalHydra.instance().config_loader()


class LoadedFile(NamedTuple):
    """A configuration file that Hydra has loaded and not yet composed.

    Attributes:
        source: folder or package, such as "file:///home/me/conf" or "pkg://hydra.conf".
        path: within the source, without its ending.
        content: without the defaults list.
        package: in the file's `# @package` line; None without one.
        defaults: groups, options, paths and packages in the defaults list, as texts.
    """

    source: str
    path: str
    content: Any
    package: str | None
    defaults: Sequence[str]


def on_config_load(check: Callable[[LoadedFile], None]) -> None:
    """Call a function with each configuration file that Hydra loads from now on."""
    from hydra._internal.config_repository import ConfigRepository

    original = getattr(ConfigRepository.load_config, "__wrapped__", ConfigRepository.load_config)

    @wraps(original)
    def load_config(self: Any, config_path: str) -> Any:
        result = original(self, config_path)
        if result is not None:
            check(_loaded(config_path, result))
        return result

    ConfigRepository.load_config = load_config  # type: ignore[method-assign]


def _loaded(path: str, result: Any) -> LoadedFile:
    fields = ("group", "value", "path", "package")
    texts = [
        str(text)
        for entry in result.defaults_list or ()
        for text in (getattr(entry, field, None) for field in fields)
        if text is not None
    ]
    content, package = result.config, result.header.get("package")
    return LoadedFile(result.path, path, content, package, texts)


def command_line_flags(arguments: Sequence[str]) -> dict[str, Any]:
    """Return Hydra's flags of a command line by name, also those that are abbreviated."""
    from hydra._internal.utils import get_args_parser

    return vars(get_args_parser().parse_known_args(list(arguments))[0])

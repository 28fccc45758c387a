"""Every use of a private name of Hydra, each with a test that it is there; see `private_apis`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from importlib import import_module
from math import prod
from typing import Any, NamedTuple

from hydra.errors import HydraException

MOST_JOBS = 10_000  # of a sweep over lists


def parse_overrides(words: Sequence[str]) -> list[Any]:
    """Parse overrides, with the options of the groups where Hydra is running.

    Raises:
        TooManyJobs: a word lists more values than a sweep may have jobs; its parser takes a minute.
    """
    for word in words:
        if word.count(",") > 2 * MOST_JOBS:
            raise too_many_jobs(word, word.count(",") + 1)
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.override_parser.overrides_parser import OverridesParser

    loader = _config_loader() if GlobalHydra.instance().is_initialized() else None
    return OverridesParser.create(config_loader=loader).parse_overrides(list(words))


def combinations(overrides: Sequence[Any]) -> list[list[str]]:
    """Return the jobs of Hydra's basic sweeper: every combination of the values of a sweep.

    Raises:
        TooManyJobs: there are more than `MOST_JOBS`, which are not listed.
    """
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    counts: dict[str, float] = {}
    for override in overrides:
        counts[override.key_or_group] = _values(override)
        if not max(counts.values()) <= MOST_JOBS or not prod(counts.values()) <= MOST_JOBS:
            raise too_many_jobs(override.input_line, prod(counts.values()))
    jobs: list[list[str]] = BasicSweeper.split_arguments(list(overrides), None)[0]
    return jobs


def _values(override: Any) -> float:
    """Return the number of values that an override lists, without listing them."""
    from hydra.core.override_parser.types import ChoiceSweep, RangeSweep

    value = override.value() if override.is_sweep_override() else None
    if isinstance(value, ChoiceSweep):
        return len(value.list)
    if isinstance(value, RangeSweep) and value.step:
        return max(0.0, (float(value.stop or 0) - float(value.start or 0)) / float(value.step))
    return 1


class TooManyJobs(HydraException, ValueError):
    """Error for a sweep of more than `MOST_JOBS`."""


def too_many_jobs(word: str, count: float) -> TooManyJobs:
    """Return the error for a sweep of too many jobs.

    Args:
        word: the override that makes them too many.
        count: number of jobs.
    """
    word = f"{word[:80]}..." if len(word) > 80 else word
    advice = f"a sweep has at most {MOST_JOBS:,}; list fewer values"
    return TooManyJobs(f"{word}: makes {count:,.0f} jobs; {advice}")


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


_UNKNOWN_KEY = re.compile(r"Could not override '([^']+)'")


def leave_keys_to_jobs(check: Callable[[Any], None]) -> None:
    """Compose from now on a sweep's own configuration without keys that only its jobs may have.

    Hydra composes it with the default option of each group that is swept. A key that the default
    lacks is kept among the overrides, and each job is composed with it.

    Args:
        check: called with each configuration once it is composed, before anything is resolved.
    """
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra.errors import ConfigCompositionException
    from hydra.types import RunMode

    load = ConfigLoaderImpl.load_configuration
    original = getattr(load, "__wrapped__", load)

    @wraps(original)
    def load_configuration(
        self: Any,
        config_name: str | None,
        overrides: list[str],
        run_mode: Any,
        *rest: Any,
        **more: Any,
    ) -> Any:
        kept, sweeps = list(overrides), run_mode == RunMode.MULTIRUN and _sweeps_groups(overrides)
        while True:
            try:
                cfg = original(self, config_name, kept, run_mode, *rest, **more)
                break
            except ConfigCompositionException as error:
                match = _UNKNOWN_KEY.search(str(error))
                left = [w for w in kept if not match or w.partition("=")[0] != match[1]]
                if not sweeps or len(left) == len(kept):
                    raise
                kept = left
        if len(kept) < len(overrides):
            present = {*kept, *cfg.hydra.overrides.hydra}
            task = [*cfg.hydra.overrides.task, *(w for w in overrides if w not in present)]
            cfg.hydra.overrides.task = sorted(task, key=overrides.index)
        check(cfg)
        return cfg

    ConfigLoaderImpl.load_configuration = load_configuration  # type: ignore[method-assign]


def _sweeps_groups(overrides: Sequence[str]) -> bool:
    """Return whether a command line lists several options of a group."""
    parsed = parse_overrides(overrides)
    return any(word.is_sweep_override() and "." not in word.key_or_group for word in parsed)


_MOST_USES = 50  # of a file in the defaults lists of one configuration; ours have 4


def bound_defaults() -> None:
    """Refuse from now on defaults lists that name themselves, or double from file to file."""
    from hydra._internal.config_repository import CachingConfigRepository
    from hydra.errors import ConfigCompositionException

    load = CachingConfigRepository.load_config
    original = getattr(load, "__wrapped__", load)

    @wraps(original)
    def load_config(self: Any, config_path: str) -> Any:
        self.uses = getattr(self, "uses", Counter())
        self.uses[config_path] += 1
        if self.uses[config_path] > _MOST_USES:
            problem = f"its defaults list names itself, or others name it over {_MOST_USES} times"
            raise ConfigCompositionException(f"{config_path}: {problem}; take the name out")
        return original(self, config_path)

    CachingConfigRepository.load_config = load_config  # type: ignore[method-assign]


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


def on_config_load(
    check: Callable[[LoadedFile], None],
    explain: Callable[[str, Exception], str] | None = None,
    before: Callable[[str], None] | None = None,
) -> None:
    """Call a function with each configuration file that Hydra loads from now on.

    Args:
        check: called with each file; raises an error of Hydra's where it refuses the file.
        explain: returns the message for a file that cannot be read, given its path and the error.
        before: called with the path of each file before it is read.
    """
    from hydra._internal.config_repository import ConfigRepository
    from hydra.core.object_type import ObjectType
    from hydra.errors import ConfigCompositionException
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    original = getattr(ConfigRepository.load_config, "__wrapped__", ConfigRepository.load_config)

    @wraps(original)
    def load_config(self: Any, config_path: str) -> Any:
        source = self._find_object_source(config_path, ObjectType.CONFIG)
        file = f"{getattr(source, 'path', '')}/{config_path.removesuffix('.yaml')}.yaml"
        if before is not None:
            before(file)
        try:
            result = original(self, config_path)
        except (
            YAMLError, ValueError, OSError, OmegaConfBaseException,
            TypeError, LookupError, AttributeError, RecursionError,  # of OmegaConf, for odd keys
        ) as error:  # fmt: skip
            if explain is None or isinstance(error, HydraException):
                raise
            raise ConfigCompositionException(explain(file, error)) from None
        if result is not None:
            _read_header_behind_mark(result, file)
            check(_loaded(config_path, result))
        return result

    ConfigRepository.load_config = load_config  # type: ignore[method-assign]


def _read_header_behind_mark(result: Any, file: str) -> None:
    """Read the `# @package` line of a file that begins with a byte-order mark."""
    from hydra.plugins.config_source import ConfigSource

    if not result.path.startswith("file://"):
        return
    with open(file, encoding="utf-8") as stream:
        head = stream.read(512)
    if head.startswith("\ufeff"):
        result.header = ConfigSource._get_header_dict(head[1:])


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
    return vars(flag_parser().parse_known_args(list(arguments))[0])


def unknown_flags(arguments: Sequence[str]) -> list[str]:
    """Return the words with a dash in front that are not flags of Hydra's."""
    words = flag_parser().parse_known_args(list(arguments))[1]
    return [word for word in words if word.startswith("-")]


def flag_parser() -> Any:
    """Return the parser of Hydra's flags, as argparse makes it."""
    from hydra._internal.utils import get_args_parser

    return get_args_parser()

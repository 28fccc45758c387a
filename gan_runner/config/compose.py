"""Composition of a configuration from overrides, without a command line."""

from __future__ import annotations

from pathlib import Path

import hydra
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

# In cards: the first value that is not null.
OmegaConf.register_new_resolver(
    "first", lambda *values: next((v for v in values if v is not None), None), replace=True
)
# In recipes: learning rates in a published ratio.
OmegaConf.register_new_resolver("times", lambda a, b: float(a) * float(b), replace=True)


def config_dir() -> Path:
    """Return the folder of the configuration groups, in an installed package or a checkout.

    Raises:
        FileNotFoundError: neither location has a conf/config.yaml.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "conf", package.parent / "conf"):
        if (folder / "config.yaml").is_file():
            return folder
    raise FileNotFoundError(f"no conf/config.yaml in {package} or {package.parent}")


def compose(*overrides: str) -> DictConfig:
    """Compose a configuration as `gan-run` does with the same arguments.

    Args:
        overrides: "GROUP=OPTION" and "KEY=VALUE", such as "dataset=gaussians8".

    Raises:
        hydra.errors.HydraException: a group, an option or a key does not exist.
    """
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(config_dir()), version_base="1.3"):
        return hydra.compose("config", overrides=list(overrides))

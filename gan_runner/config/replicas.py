"""Configurations of replicas, which differ in their seeds and learning rates."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from functools import reduce

from omegaconf import DictConfig, OmegaConf

from gan_runner.config.signature import ConfigTree
from gan_runner.config.validate import sources_of, validate
from gan_runner.training.settings import Settings


def replica_configs(
    cfg: DictConfig, config: ConfigTree, settings: Settings, *, allow: Sequence[str]
) -> list[ConfigTree]:
    """Return the configuration of each replica: its own seed and learning rate.

    Args:
        cfg: the composed configuration of all.
        config: the same, checked.
        settings: of all.
        allow: prefixes of targets that the command line allows.

    Raises:
        ValueError: `trainer.replica_lrs` has another number of values than there are replicas.
    """
    lrs = settings.replica_lrs
    if lrs is not None and len(lrs) != settings.replicas:
        raise ValueError(
            f"trainer.replica_lrs={lrs}: should have trainer.replicas={settings.replicas} values"
        )
    configs = []
    for k in range(settings.replicas):
        one = cfg.copy()
        OmegaConf.set_struct(one, False)
        one.seed = config["seed"] + k
        one.trainer.replicas, one.trainer.replica_lrs = 1, None
        if one.trainer.precision == "auto":  # stacked convolutions do not work in bfloat16
            one.trainer.precision = "fp32"
        if lrs is not None:
            one.optimizer.critic.lr = one.optimizer.generator.lr = lrs[k]
        configs.append(validate(one, allow=allow))
    return configs


def follows_seed(config: ConfigTree, cfg: DictConfig) -> ConfigTree:
    """Restore `${seed}` in a checked configuration wherever a key copies the seed.

    Each replica has its own seed. Without the interpolations, replicas that are rebuilt from the
    saved configuration would all draw their data from the first seed.
    """
    config = deepcopy(config)
    for path, source in sources_of(OmegaConf.to_container(cfg, resolve=False)).items():
        if source == "seed":
            *parents, key = path.split(".")
            node = reduce(lambda tree, name: tree[name], parents, config)
            node[key] = "${seed}"
    return config

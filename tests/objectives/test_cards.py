"""Constants of every objective's card, each with its place in the paper or in the authors' code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from gan_runner.config.compose import config_dir
from gan_runner.core import Batch
from gan_runner.models.heads import CodePosterior
from gan_runner.objectives.priors import infogan_prior, negative_log_density, uniform
from gan_runner.optim.sghmc import SGHMC

CPU = torch.device("cpu")

INFERRED = "inferred"
DCGAN = "Radford et al. 2015, section 4: Adam 0.0002, beta1 0.5"
GULRAJANI = "Gulrajani et al. 2017, Algorithm 1"
LR, BETAS = "optimizer.critic.lr", "optimizer.critic.betas"
G_LR, STEPS = "optimizer.generator.lr", "objective.n_critic"
R1, R2 = "objective.critic_terms.r1.weight", "objective.critic_terms.r2.weight"
PENALTY = "objective.critic_terms.gradient_penalty.weight"

FGAN = [
    (LR, 2e-4, "Nowozin et al. 2016, section 4: Adam 0.0002"),
    (BETAS, [0.5, 0.999], "Nowozin et al. 2016, section 4: update weight 0.5"),
    ("objective.generator_loss.nonsaturating", True, "Nowozin et al. 2016, section 3.2"),
    ("limits.critic.max_grad_norm", 1.0, f"clipping: section 3.2; the value: {INFERRED}"),
    ("limits.generator.max_grad_norm", 1.0, f"clipping: section 3.2; the value: {INFERRED}"),
]
PLAIN = [(LR, 2e-4, DCGAN), (G_LR, 2e-4, DCGAN), (BETAS, [0.5, 0.999], DCGAN), (STEPS, 1, DCGAN)]
WGAN = [
    (LR, 5e-5, "Arjovsky et al. 2017, Algorithm 1: RMSProp 0.00005"),
    (STEPS, 5, "Arjovsky et al. 2017, Algorithm 1: n_critic = 5"),
]
WGAN_GP = [
    (LR, 1e-4, f"{GULRAJANI}: alpha = 0.0001"),
    (BETAS, [0.0, 0.9], f"{GULRAJANI}: beta1 = 0, beta2 = 0.9"),
    (STEPS, 5, f"{GULRAJANI}: n_critic = 5"),
]
MIYATO = "Miyato et al. 2018, section 4; sngan_projection, train.py: Adam 0.0002 (0, 0.9)"
SN = [(LR, 2e-4, MIYATO), (BETAS, [0.0, 0.9], MIYATO), (STEPS, 5, "Miyato et al. 2018, table 1")]
JOLICOEUR = "Jolicoeur-Martineau 2018, section 5: Adam 0.0002 (0.5, 0.999), 1 critic step"
RELATIVISTIC = [(LR, 2e-4, JOLICOEUR), (BETAS, [0.5, 0.999], JOLICOEUR), (STEPS, 1, JOLICOEUR)]
LSGAN = [
    (LR, 1e-4, "Gulrajani et al. 2017, gan_64x64.py: LSGAN with RMSProp 1e-4"),
    (STEPS, 1, "Gulrajani et al. 2017, gan_64x64.py: CRITIC_ITERS = 1"),
    ("paper_defaults.adam.lr", 1e-3, "Mao et al. 2017, section 4.1: 0.001"),
    ("paper_defaults.adam.betas", [0.5, 0.999], "Mao et al. 2017, section 4.1: beta1 = 0.5"),
]
INFOGAN = "openai/InfoGAN, launchers/run_mnist_exp.py"
DRAGAN = "kodalinaveen3/DRAGAN, DRAGAN.ipynb"
MEG = "ritheshkumar95/energy_based_generative_models"
BAYES = "andrewgordonwilson/bayesgan"
R3GAN = "brownvc/R3GAN, train.py, preset CIFAR10"

CARDS: dict[str, list[tuple[str, Any, str]]] = {
    "gan": PLAIN,
    "ns_gan": PLAIN,
    "acgan": [
        *PLAIN,
        ("objective.critic_terms.classification.weight", 1.0, "Odena et al. 2017, section 4"),
        ("objective.critic_terms.classification.of", "real", "gan_cifar_resnet.py: disc_acgan_costs"),
    ],
    "cgan": [(LR, 2e-4, INFERRED), (BETAS, [0.5, 0.999], INFERRED), (STEPS, 1, INFERRED)],
    "feature_matching": [
        (LR, 2e-4, INFERRED), (BETAS, [0.5, 0.999], INFERRED),
        ("objective.generator_terms.feature_matching.weight", 1.0, "Salimans et al. 2016, 3.1"),
        ("objective.generator_terms.feature_matching.covariance", 0.0, "Salimans et al. 2016, 3.1"),
    ],
    "lsgan": [
        *LSGAN,
        ("objective.critic_loss.fake_target", 0.0, "Mao et al. 2017, equation 9: a = 0"),
        ("objective.critic_loss.real_target", 1.0, "Mao et al. 2017, equation 9: b = 1"),
        ("objective.generator_loss.target", 1.0, "Mao et al. 2017, equation 9: c = 1"),
    ],
    "lsgan_pm1": [
        *LSGAN,
        ("objective.critic_loss.fake_target", -1.0, "Mao et al. 2017, equation 8: a = -1"),
        ("objective.critic_loss.real_target", 1.0, "Mao et al. 2017, equation 8: b = 1"),
        ("objective.generator_loss.target", 0.0, "Mao et al. 2017, equation 8: c = 0"),
    ],
    "hinge": SN,
    "sn_gan": [*SN, ("model.critic.norm", "spectral", "Miyato et al. 2018, Algorithm 1")],
    "ragan": RELATIVISTIC,
    "rpgan": RELATIVISTIC,
    "r3gan": [
        (LR, 2e-4, f"{R3GAN}: lr_scheduler"), (BETAS, [0.0, 0.9], f"{R3GAN}: beta2_scheduler"),
        ("schedule.critic.last", 0.25, f"{R3GAN}: lr 2e-4 to 5e-5"),
        ("schedule.beta2.first", 0.9, f"{R3GAN}: beta2_scheduler"),
        ("schedule.beta2.last", 0.99, f"{R3GAN}: beta2_scheduler"),
        (R1, 0.05, f"{R3GAN}: gamma_scheduler"), (R2, 0.05, f"{R3GAN}: gamma_scheduler"),
        ("schedule.critic_terms.r1.first", 0.05, f"{R3GAN}: gamma_scheduler"),
        ("schedule.critic_terms.r1.last", 0.005, f"{R3GAN}: gamma_scheduler"),
        ("schedule.critic_terms.r2.last", 0.005, f"{R3GAN}: gamma_scheduler"),
        ("model.generator.norm", "none", "brownvc/R3GAN, R3GAN/Networks.py"),
        (STEPS, 1, "brownvc/R3GAN, training_loop.py: phases D and G in turn"),
    ],
    "wgan": [*WGAN, ("objective.constraint.c", 0.01, "Arjovsky et al. 2017, Algorithm 1")],
    "wgan_frobenius": [*WGAN, ("objective.constraint.radius", 1.0, INFERRED)],
    "wgan_gp": [*WGAN_GP, (PENALTY, 10.0, f"{GULRAJANI}: lambda = 10")],
    "wgan_lp": [
        *WGAN_GP,
        ("objective.critic_terms.lipschitz_penalty.weight", 10.0, "Petzka et al. 2018, section 5"),
    ],
    "dragan": [
        (LR, 1e-4, f"{DRAGAN}: AdamOptimizer(1e-4, 0.5, 0.9)"), (BETAS, [0.5, 0.9], DRAGAN),
        ("objective.critic_terms.dragan_penalty.weight", 10.0, f"{DRAGAN}: lambd = 10"),
        ("objective.critic_terms.dragan_penalty.noise", 0.5, f"{DRAGAN}: get_perturbed_batch"),
        ("objective.critic_terms.dragan_penalty.distribution", "uniform", DRAGAN),
        (STEPS, 1, f"{DRAGAN}: for _ in range(1)"),
    ],
    "infogan": [
        (LR, 2e-4, f"{INFOGAN}: discriminator_learning_rate"),
        (G_LR, 1e-3, f"{INFOGAN}: generator_learning_rate"),
        (BETAS, [0.5, 0.999], "openai/InfoGAN, infogan_trainer.py: beta1=0.5"),
        ("objective.prior.categorical", 10, f"{INFOGAN}: Categorical(10)"),
        ("objective.prior.continuous", 2, f"{INFOGAN}: two Uniform(1)"),
        ("objective.prior.noise", "uniform", f"{INFOGAN}: Uniform(62)"),
        ("objective.heads.code.fixed_std", True, f"{INFOGAN}: fix_std=True"),
        ("objective.critic_terms.code_information.categorical", 1.0, f"{INFOGAN}: info_reg_coeff"),
        ("objective.critic_terms.code_information.continuous", 1.0, f"{INFOGAN}: info_reg_coeff"),
        ("objective.generator_terms.code_information.continuous", 1.0, f"{INFOGAN}: the same"),
        (STEPS, 1, f"{INFOGAN}: one of each optimizer in turn"),
    ],
    "meg": [
        (LR, 1e-4, f"{MEG}, ebm_toy.py: params"), (BETAS, [0.5, 0.9], f"{MEG}, ebm_toy.py: params"),
        (R1, 20.0, f"{MEG}: lamda 10 times the squared norm, which r1 halves"),
        ("objective.generator_terms.noise_information.weight", 0.5, f"{MEG}, functions.py: mean of 2N"),
        (STEPS, 5, f"{MEG}, ebm_toy.py: energy_model_iters 5"),
    ],
    "bayesian": [
        ("trainer.ema_decay", 0.0, f"{BAYES}: samples come from the chain"),
        ("trainer.keep_checkpoints", 10, INFERRED),
        ("optimizer.critic.temperature", "auto", "Saatci & Wilson 2017, Algorithm 1: 1 / N"),
        ("optimizer.critic.warm_up", 250, f"{BAYES}, bayesian_gan_hmc.py: 5000 of 50000 iterations"),
        ("optimizer.critic.warm_up_lr", 2e-4, INFERRED),
        ("optimizer.critic.friction", 0.1, INFERRED), ("optimizer.critic.lr", 3e-3, INFERRED),
        ("objective.critic_terms.prior.std", 1.0, f"{BAYES}, bgan_models.py: prior_std=1.0"),
        ("objective.generator_terms.prior.std", 1.0, f"{BAYES}, bgan_models.py: prior_std=1.0"),
        ("objective.generators", 5, INFERRED), ("objective.critics", 2, INFERRED), (STEPS, 1, BAYES),
    ],
    "quadratic": [(STEPS, 1, INFERRED), ("objective.generator_terms.quadratic.curvature", 1.0, INFERRED)],
    **dict.fromkeys(
        [f"fgan_{name}" for name in (
            "gan", "jensen_shannon", "kl", "pearson", "reverse_kl", "squared_hellinger",
        )],
        FGAN,
    ),
}  # fmt: skip


def test_every_card_is_listed() -> None:
    names = {path.stem for path in (config_dir() / "objective").glob("*.yaml")}
    assert names == set(CARDS)


@pytest.mark.parametrize("name", CARDS)
def test_constants(config: Callable[..., Any], name: str) -> None:
    cfg = config(f"objective={name}")
    for key, value, source in CARDS[name]:
        found = OmegaConf.select(cfg, key)
        found = list(found) if OmegaConf.is_list(found) else found
        assert found == pytest.approx(value) if isinstance(value, float) else found == value, (
            f"{name}: {key} is {found}; {source}: {value}"
        )


def test_an_inferred_constant_is_called_so_in_its_card() -> None:
    for name, rows in CARDS.items():
        if any(INFERRED in source for _, _, source in rows):
            base = "base/fgan" if name.startswith("fgan") else name
            text = (config_dir() / "objective" / f"{base}.yaml").read_text().lower()
            assert "inferred" in text or "ours" in text, name


def test_the_posterior_depends_on_the_size_of_the_data(engine: Callable[..., Any]) -> None:
    """T = 1 / N and a prior of sum |W|^2 / (2 N), N the training rows; nothing is averaged."""
    built = engine(
        "objective=bayesian", "dataset=gaussians8", "dataset.n_samples=500", "model=mlp",
        "model.width=8", "trainer.steps=100",
    )  # fmt: skip
    for optimizer in built.optimizers.values():
        assert optimizer.param_groups[0]["temperature"] == 1 / 500
        assert optimizer.param_groups[0]["warm_up"] == 10
    real = Batch(torch.zeros(4, 2))
    prior = built.game.objective.critic_terms["prior"](built.game.critic, real, real)
    squares = sum(p.square().sum() for p in built.nets.critic.parameters() if p.ndim > 1)
    torch.testing.assert_close(prior, squares / (2 * 500))
    built.train_step()
    average, own = built.nets.generator_ema.state_dict(), built.nets.generator.state_dict()
    assert all(torch.equal(average[key], own[key]) for key in own)


def test_a_chain_is_warmed_up_by_adam() -> None:
    """For `warm_up` steps the weights are Adam's; then the chain starts without momentum."""
    ours, theirs = (torch.nn.Parameter(torch.tensor([1.0, -2.0, 0.5])) for _ in range(2))
    chain = SGHMC([ours], lr=0.1, friction=0.25, temperature=0.0, warm_up=3, warm_up_lr=0.01)
    adam = torch.optim.Adam([theirs], lr=0.01, betas=(0.5, 0.999))
    for _ in range(3):
        for parameter, optimizer in ((ours, chain), (theirs, adam)):
            parameter.grad = parameter.detach() ** 3
            optimizer.step()
        torch.testing.assert_close(ours, theirs)
    momentum = torch.optim.SGD([theirs], lr=0.1, momentum=0.75)
    for _ in range(4):
        for parameter, optimizer in ((ours, chain), (theirs, momentum)):
            parameter.grad = parameter.detach() ** 3
            optimizer.step()
    torch.testing.assert_close(ours, theirs)


def test_uniform_noise_and_its_density() -> None:
    z = uniform(20_000, 3, CPU).z
    assert z.abs().max() <= 1 and z.std().item() == pytest.approx(1 / 3**0.5, rel=0.02)
    coded = infogan_prior(2000, 20, CPU, noise="uniform").z[:, 12:]
    assert coded.shape == (2000, 8) and coded.abs().max() <= 1 and coded.min() < -0.9
    inside, outside = torch.zeros(1, 2), torch.tensor([[0.0, 1.5]])
    assert negative_log_density(uniform, inside).item() == 0
    assert negative_log_density(uniform, outside).isinf()


def test_fixed_gaussians_of_the_code_have_sigma_1(engine: Callable[..., Any]) -> None:
    spec = engine("dataset=digits", "model.filters=4").runs[0].spec
    head = CodePosterior(6, 16, spec, categorical=3, continuous=2, fixed_std=True)
    logits, mean, log_std = head(torch.randn(5, 6))
    assert (logits.shape, mean.shape) == ((5, 3), (5, 2)) and not log_std.any()
    assert head.layers[-1].out_features == 5

"""Diversity against closed forms; health on curves made by hand."""

from __future__ import annotations

from math import inf, log, nan, pi, sin, sqrt

import pytest
import torch
from eval_contexts import context_of, snapshot_of

from gan_runner.core import DataSpec
from gan_runner.metrics.diversity import Diversity, mean_distance
from gan_runner.metrics.health import Health

DIVERSITY, SLOPE = "coverage/diversity_raw", "critic/input_gradient_norm"
FINE = {"loss/critic": 1.0, "loss/generator": 1.0, "grad_norm/generator": 1.0}


def ring(modes: int, *, of: int = 8, rows: int = 2000) -> torch.Tensor:
    """Points on the first of 8 Gaussians on a circle of radius 2, narrow ones, in random order."""
    angles = torch.randint(modes, (rows,)) * 2 * pi / of
    centres = 2 * torch.stack([angles.cos(), angles.sin()], dim=1)
    return centres + 0.02 * torch.randn(rows, 2)


def diversity(real: torch.Tensor, fake: torch.Tensor) -> dict[str, float]:
    context = context_of(real)
    return Diversity(context)(snapshot_of(context, fake))


def test_mean_distance_between_gaussian_points() -> None:
    # x - x' ~ N(0, 2 I) in the plane: its norm is Rayleigh with scale sqrt 2
    assert mean_distance(torch.randn(4000, 2)) == pytest.approx(sqrt(2) * sqrt(pi / 2), rel=0.03)
    # and on a circle of 8 modes it is the mean of 8 chords, one of them of no length
    chords = [4 * sin(k * pi / 8) for k in range(8)]
    assert mean_distance(ring(8)) == pytest.approx(sum(chords) / 8, rel=0.03)


def test_the_order_of_rows_is_none_of_the_mean_distance() -> None:
    """Five generators that take turns, each collapsed to a corner of a simplex: 4/5 of sqrt 2."""
    assert mean_distance(torch.eye(5).repeat(800, 1)) == pytest.approx(0.8 * sqrt(2), rel=0.02)


def test_diversity_of_a_scaled_copy_a_constant_and_of_some_modes() -> None:
    real = ring(8)
    assert diversity(real, 3 + 0.5 * real)["coverage/diversity"] == pytest.approx(0.5)
    assert diversity(real, real[:1].expand(500, 2)) == {
        "coverage/diversity": 0.0, "coverage/diversity_raw": 0.0,
    }  # fmt: skip
    # two neighbours of eight: half of the pairs are 4 sin(pi / 8) apart, the others together
    of_two = 0.5 * 4 * sin(pi / 8) / (sum(4 * sin(k * pi / 8) for k in range(8)) / 8)
    found = diversity(real, ring(2))["coverage/diversity"]
    assert found == pytest.approx(of_two, abs=0.02) and found > Health().min_diversity
    assert diversity(real, ring(1))["coverage/diversity"] < 0.02


def test_diversity_of_images_counts_raw_and_averaged_samples_apart() -> None:
    real = torch.randn(64, 1, 4, 4)
    context = context_of(real)
    values = Diversity(context)(snapshot_of(context, real, raw=0.25 * real))
    assert values["coverage/diversity"] == pytest.approx(1.0)
    assert values["coverage/diversity_raw"] == pytest.approx(0.25)
    assert set(Diversity(context).provenance) == set(values)


def test_labels_alone_are_no_diversity() -> None:
    """A generator that maps each label to one sample is collapsed, however far apart these are."""
    y = torch.arange(400) % 4
    real = 10.0 * y[:, None] + torch.randn(400, 2)
    context = context_of(real, y=y, spec=DataSpec("labelled", (2,), n_classes=4))
    one_a_label = 10.0 * y[:, None].expand(400, 2)
    told = Diversity(context)(snapshot_of(context, one_a_label, labels=y))
    assert told["coverage/diversity"] == 0.0
    same = Diversity(context)(snapshot_of(context, real, labels=y))
    assert same["coverage/diversity"] == pytest.approx(1.0)


def test_diversity_that_cannot_be_computed_is_left_out() -> None:
    assert diversity(ring(8), torch.full((9, 2), nan)) == {}
    assert Diversity(context_of(torch.ones(20, 2))).provenance == {}  # data that is all the same
    assert Diversity(context_of(torch.ones(1, 2))).provenance == {}


def play(health: Health, points: list[dict[str, float]], every: int = 10) -> list[float]:
    """The states of points that come every 10 steps."""
    seen = [health.update(every * (i + 1), {**FINE, **p}) for i, p in enumerate(noisy(points))]
    return [values["health/state"] for values in seen]


def noisy(points: list[dict[str, float]]) -> list[dict[str, float]]:
    """A critic's loss that moves as that of batches does, where the points do not say otherwise."""
    return [{"loss/critic": 1.0 + 0.01 * (-1) ** i * (i + 1), **p} for i, p in enumerate(points)]


def test_growth_excuses_a_small_diversity_unless_it_is_rounding() -> None:
    grown, rounded = ([{DIVERSITY: d} for d in ds] for ds in ((1e-4, 1e-3, 0.01), (4e-7, 5e-7)))
    assert play(Health(), grown) == [0.0, 0.0, 0.0]
    assert play(Health(), rounded) == [0.0, 2.0]


def test_a_game_in_equilibrium_is_well() -> None:
    """loss/critic stays at log 4 to a thousandth, for a million steps."""
    noise = torch.randn(20_000).mul(1e-3).tolist()
    health = Health()
    for i, eps in enumerate(noise):
        health.update(50 * i, {**FINE, "loss/critic": log(4) + eps, DIVERSITY: 1.0, SLOPE: 1e-4})
    assert health.summary() == {
        "state": "ok", "since": 0, "because": "", "history": [[0, "ok"]],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("score", "share", "state"),
    [
        (1.32, 0.13, 2), (1.42, 0.26, 2),  # one blot, and one grid of dots, with varied strokes
        (1.60, 0.71, 0), (3.78, 0.82, 0),  # bad digits and poor ones, which differ
        (1.32, 0.90, 0), (1.90, 0.13, 0),  # two conditions, of which one alone does not count
    ],
)  # fmt: skip
def test_variants_of_one_shape_are_a_collapse(score: float, share: float, state: int) -> None:
    """Numbers of digits that a person has looked at, after 1,600 and 2,000 steps of training."""
    points = [{DIVERSITY: share, "images/classifier_score_raw": score}] * 2
    health = Health()
    assert play(health, points) == [0, state]
    assert health.because == (
        f"classifier score {score:.2f}, diversity {share:.2g}: variants of one shape"
        if state
        else ""
    )


def test_constant_samples_are_a_collapse_at_the_second_evaluation() -> None:
    health = Health()
    # evaluations at every second point
    points = [{}, {DIVERSITY: 0.0}, {}, {DIVERSITY: 0.0}, {}]
    assert play(health, points) == [0, 0, 0, 2, 2]
    assert (health.state, health.since) == ("collapsed", 20)
    assert health.because == "diversity 0 of the data's"


def test_a_fall_is_a_collapse_and_a_recovery_ends_it() -> None:
    health = Health()
    values = [0.9, 0.03, 0.04, 0.02, 0.2, 0.9, 0.02, 0.9, 0.0499, 0.0499]
    assert play(health, [{DIVERSITY: v} for v in values]) == [0, 0, 2, 2, 0, 0, 0, 0, 0, 2]
    assert health.history == [(0, "ok"), (20, "collapsed"), (50, "ok"), (90, "collapsed")]


def test_a_young_generator_may_grow() -> None:
    """Untrained networks begin at a few hundredths of the data's diversity."""
    growing = [0.02 * 1.1**i for i in range(30)]
    assert play(Health(), [{DIVERSITY: v} for v in growing]) == [0] * 30
    standing = [0.02 + 0.0001 * i for i in range(5)]
    assert play(Health(), [{DIVERSITY: v} for v in standing]) == [0, 2, 2, 2, 2]
    dead = [0.0, 0.0, 0.0039, 0.0011, 0.06]  # a tanh that is saturated, then all but
    assert play(Health(), [{DIVERSITY: v} for v in dead]) == [0, 2, 2, 2, 0]


@pytest.mark.parametrize("tag", [SLOPE, "grad_norm/generator"])
def test_a_critic_without_slope_is_a_stall(tag: str) -> None:
    health = Health()
    assert play(health, [{tag: 1e-3}, {tag: 0.0}, {tag: 0.0}, {tag: 1e-3}]) == [0, 0, 1, 0]
    assert health.history == [(0, "ok"), (20, "stalled"), (40, "ok")]


def test_a_loss_that_stands_still_is_a_stall() -> None:
    health = Health()
    losses = [0.7, 10.0, 10.0 + 1e-6, 10.0, 10.0]
    assert play(health, [{"loss/critic": loss} for loss in losses]) == [0, 0, 0, 1, 1]
    assert (health.since, health.because) == (30, "loss/critic stays 10")
    slow = [10.0 * (1 + 1e-5) ** i for i in range(50)]  # it crawls, but it moves
    assert set(play(Health(), [{"loss/critic": loss} for loss in slow])) == {0}


@pytest.mark.parametrize("tag", ["loss/critic", "loss/gradient_penalty", "grad_norm/generator"])
@pytest.mark.parametrize("value", [nan, inf, -inf])
def test_what_is_not_finite_is_divergence_at_once(tag: str, value: float) -> None:
    health = Health()
    health.update(10, FINE)
    assert health.update(20, {**FINE, tag: value}, first_nonfinite_step=13) == {"health/state": 3.0}
    assert health.diverged and health.since == 13 and health.because == f"{tag} is not finite"
    health.update(30, {**FINE, tag: value}, first_nonfinite_step=21)
    assert health.history == [(0, "ok"), (13, "diverged")]


def test_other_tags_may_be_infinite() -> None:
    """`lipschitz/upper` of a deep critic overflows, and nothing is wrong."""
    assert play(Health(), [{"lipschitz/upper": inf, "wasserstein/critic": nan}] * 3) == [0, 0, 0]


def test_explosion_is_relative_to_the_beginning() -> None:
    def last(first: float, then: float) -> float:
        return play(Health(), [{"loss/generator": v} for v in (first, then, then)])[-1]

    assert last(1e-4, -0.9e5) == 0 and last(1e-4, -1.1e5) == 3  # a beginning counts as 1 at least
    assert last(50.0, 4.9e6) == 0 and last(50.0, 5.1e6) == 3
    assert last(1e30, 1e30) == 3  # and as 1,000 at most
    spike = [{"loss/critic": v} for v in (1.0, 1e9, 2.0, 1e9, 1.0)]
    assert play(Health(), spike) == [0, 0, 0, 0, 0]


def test_of_several_illnesses_the_worst_is_named() -> None:
    health = Health()
    both = {DIVERSITY: 0.0, SLOPE: 0.0}
    assert play(health, [both, both, {"loss/critic": nan}, both]) == [0, 2, 3, 2]


def test_it_continues_where_its_state_was_taken() -> None:
    values = [0.02, 0.03, 0.5, 0.01, 0.02, 0.01, 0.6, 0.05, 0.0]
    points = [{DIVERSITY: v, SLOPE: 0.0 if v == 0.02 else 1.0} for v in values]
    points[6]["loss/critic"] = nan
    whole = Health()
    states = play(whole, points)
    assert len(set(states)) == 3
    for cut in range(len(points)):
        one, other = Health(), Health()
        play(one, points[:cut])
        other.load_state_dict(one.state_dict())
        rest = [
            other.update(10 * (cut + i + 1), {**FINE, **p})["health/state"]
            for i, p in enumerate(noisy(points)[cut:])
        ]
        assert rest == states[cut:]
        assert other.state_dict() == whole.state_dict()


SCORE, PROBE = "images/classifier_score_raw", "jsd/probe_raw"


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        (
            [1.004, 1.0, 1.0, 1.05, 1.006],
            [0, 1, 1, 1, 1],
        ),  # architecture 0 of the study under GAN: noise
        ([1.0, 1.08, 1.11, 1.1], [0, 1, 1, 1]),  # figure 2, networks without norms
        ([1.19, 4.9, 5.3], [0, 0, 0]),  # a slow start
        ([1.0, 1.1, 2.5, 4.0], [0, 1, 0, 0]),  # a slower one recovers
        ([1.66, 1.21, 1.54, 1.11, 1.32], [0, 0, 0, 0, 0]),  # poor, but more than one image
    ],
)
def test_samples_that_all_look_alike_are_a_stall(scores: list[float], expected: list[int]) -> None:
    health = Health()
    assert play(health, [{SCORE: score, PROBE: log(2)} for score in scores]) == expected
    assert play(Health(), [{SCORE: score} for score in scores]) == expected  # without a probe, too
    if expected[-1]:
        assert "noise or one image" in health.because


def test_data_of_one_class_is_no_stall_once_a_probe_cannot_tell_it_apart() -> None:
    """Its own score is 1, however good the samples are."""
    assert play(Health(), [{SCORE: 1.0, PROBE: p} for p in (0.69, 0.5, 0.3, 0.2)]) == [0, 0, 0, 0]
    now_and_then = [{SCORE: 1.0, PROBE: 0.5}, *[{SCORE: 1.0}] * 3, {SCORE: 1.0, PROBE: 0.69}]
    assert play(Health(), [*now_and_then, {SCORE: 1.0}]) == [0, 0, 0, 0, 0, 1]


def test_a_constant_image_is_a_collapse_before_it_is_a_stall() -> None:
    points = [{SCORE: 1.0, DIVERSITY: 0.0, PROBE: log(2)}] * 3
    assert play(Health(), points) == [0, 2, 2]

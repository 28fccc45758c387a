"""Batches: every sample once an epoch, in an order that a seed decides and a state resumes."""

from __future__ import annotations

import pytest
import torch

from gan_runner.core import Batch, to_unit
from gan_runner.data.split import hold_out
from gan_runner.data.stream import Stream, _ReadAhead, held_out

CPU = torch.device("cpu")


def stream(n: int = 12, batch_size: int = 4, seed: int = 0) -> Stream:
    table = Batch(torch.arange(float(n))[:, None], torch.arange(n))
    return Stream(table, batch_size=batch_size, seed=seed, device=CPU)


def batch(s: Stream) -> Batch:
    return s.to_batch(*s.next())


def rows(s: Stream, batches: int) -> list[int]:
    return [int(v) for _ in range(batches) for v in batch(s).x]


def test_an_epoch_is_a_permutation() -> None:
    s = stream()
    first, second = rows(s, 3), rows(s, 3)
    assert sorted(first) == sorted(second) == list(range(12))
    assert first != second


def test_labels_stay_with_their_samples() -> None:
    x, y, _ = batch(stream())
    assert x[:, 0].tolist() == y.tolist()


def test_the_partial_batch_is_dropped() -> None:
    s = stream(n=10, batch_size=4)
    assert len(set(rows(s, 2))) == 8
    assert s.state_dict()["epoch"] == 0
    assert len(batch(s).x) == 4 and s.state_dict()["epoch"] == 1


def test_resuming_continues_the_order() -> None:
    s = stream(seed=5)
    rows(s, 4)
    state = s.state_dict()
    rest = rows(s, 7)
    resumed = stream(seed=5)
    resumed.load_state_dict(state)
    assert rows(resumed, 7) == rest
    assert rows(stream(seed=6), 7) != rows(stream(seed=5), 7)


def test_pixels_become_unit_floats() -> None:
    assert to_unit(torch.tensor([0, 51, 255], dtype=torch.uint8)).tolist() == pytest.approx(
        [-1.0, -0.6, 1.0]
    )
    assert to_unit(torch.tensor([3.5])).tolist() == [3.5]


def test_a_batch_larger_than_the_data() -> None:
    with pytest.raises(ValueError, match=r"trainer\.batch_size=13: .* \(12 samples\)"):
        stream(batch_size=13)


def test_held_out_rows_are_distinct_and_normalised() -> None:
    table = Batch(torch.arange(200, dtype=torch.uint8)[:, None])
    x = held_out(table, 50, device=CPU, seed=1).x
    assert len(set(((x + 1) * 127.5).round().flatten().tolist())) == 50
    assert len(held_out(table, 1000, device=CPU, seed=1).x) == 200


def test_splitting_is_a_partition() -> None:
    x, y = torch.arange(10), torch.arange(10) * 2
    train, heldout = hold_out(x, y, 0.3)
    assert len(heldout.x) == 3
    assert sorted([*train.x.tolist(), *heldout.x.tolist()]) == list(range(10))
    assert (train.y == 2 * train.x).all()
    assert (hold_out(x, y, 0.3)[0].x == train.x).all()
    assert [len(part.x) for part in hold_out(x[:2], None, 0.01)] == [1, 1]


class Elsewhere(Stream):
    """A stream whose table does not lie on the device, as where it does not fit there."""

    def __init__(self, **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self.ahead = _ReadAhead(self._read)


def test_reading_ahead_serves_the_same_batches() -> None:
    table = Batch(torch.arange(12, dtype=torch.uint8)[:, None], torch.arange(12))
    options = {"table": table, "batch_size": 4, "seed": 2, "device": CPU}
    ahead, plain = Elsewhere(**options), Stream(**options)
    for _ in range(8):
        one, other = batch(ahead), batch(plain)
        assert torch.equal(one.x, other.x) and torch.equal(one.y, other.y)
        assert ahead.state_dict() == plain.state_dict()  # what was read ahead does not count


def test_reading_ahead_resumes_where_batches_were_handed_out() -> None:
    table = Batch(torch.arange(12.0)[:, None])
    options = {"table": table, "batch_size": 4, "seed": 2, "device": CPU}
    first = Elsewhere(**options)
    rows(first, 4)
    state = first.state_dict()
    rest = rows(first, 5)
    resumed = Elsewhere(**options)
    rows(resumed, 1)
    resumed.load_state_dict(state)
    assert rows(resumed, 5) == rest

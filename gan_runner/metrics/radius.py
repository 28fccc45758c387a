"""Distance of two players from the solution of a game at the origin."""

from __future__ import annotations

from torch import nn

from gan_runner.core import EvalContext, Snapshot


class Radius:
    """`game/radius`, the Euclidean norm of all weights of both players: 0 at a solution at 0.

    Where each player has a single weight, `game/x` (the generator's) and `game/y` (the critic's)
    are logged, too. The weights are those of the players as they stand, not averages.
    """

    def __init__(self, context: EvalContext) -> None:
        about = {"reference": "the solution 0", "generator": "raw"}
        coordinate = {**about, "better": "neither"}
        self.provenance = {"game/radius": about, "game/x": coordinate, "game/y": coordinate}

    def __call__(self, snapshot: Snapshot) -> dict[str, float]:
        """Compute the numbers of a snapshot."""
        weights = snapshot.nets.weights
        radius = nn.utils.get_total_norm([w.detach().double() for w in weights.values()]).item()
        if [w.numel() for w in weights.values()] != [1, 1]:
            return {"game/radius": radius}
        x, y = (w.item() for w in weights.values())  # the generator's comes first
        return {"game/radius": radius, "game/x": x, "game/y": y}

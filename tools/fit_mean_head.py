"""Takes the mean of rendered heads, and writes the package's numbers (`landmarks.mean_head`).

    python tools/fit_mean_head.py

The heads are drawn as `efld-data synth` draws them, with all their expressions, and are made
symmetric. What pose the mean has is a matter of definition: it is turned about the axis through its
ears so that its eyes, mouth corners and tip of the nose lie as those of `pose.MEAN_FACE`.
"""

from __future__ import annotations

import json

import numpy as np

from efld_tf import files
from efld_tf.annotations.synthetic.landmarks import in_space
from efld_tf.annotations.synthetic.parameters import sample_parameters
from efld_tf.annotations.synthetic.surface import Head
from efld_tf.arrays import Floats
from efld_tf.landmarks import mean_head, pose, schemas

HEADS, SEED = 1000, 0


def fitted() -> Floats:
    """The mean head [68, 3]."""
    rng = np.random.default_rng(SEED)
    heads = [in_space(Head(sample_parameters(rng)), lambda places: places) for _ in range(HEADS)]
    schema = schemas.get(mean_head.HEAD)
    mean = np.mean(heads, axis=0) * [1, -1, 1]
    mean = (mean + mean[list(schema.known_flip)] * [-1, 1, 1]) / 2
    eyes = schema.anchor_points(mean[None])[0, :2]
    mean = (mean - eyes.mean(axis=0)) / np.linalg.norm(eyes[1] - eyes[0])
    five = np.concatenate([schema.anchor_points(mean[None])[0], mean[list(schema.nose_tip)]])
    # Complex numbers are z + i y.
    ours, theirs = (some[2:, 2] + 1j * some[2:, 1] for some in (five, pose.MEAN_FACE))
    turn = (ours.conj() * theirs).sum()
    turned = (mean[:, 2] + 1j * mean[:, 1]) * turn / abs(turn)
    return np.column_stack([mean[:, 0], turned.imag, turned.real])


def main() -> None:
    """Fits and writes the file."""
    rows = ",\n  ".join(map(json.dumps, fitted().round(4).tolist()))
    files.write_text(mean_head.FILE, f'{{"fitted_on": "{HEADS} rendered heads", "places": [\n'
                                     f"  {rows}\n]}}")


if __name__ == "__main__":
    main()

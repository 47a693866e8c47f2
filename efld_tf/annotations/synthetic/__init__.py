"""Procedurally rendered faces whose landmarks are known exactly, in three formats at once.

`parameters` draws random faces, `curves` and `surface` (with `hair`) give them shape, `landmarks`
reads the points off it, `texture` (on an `atlas`) paints them, `shading`, `camera` and `rasterizer`
make the picture, `scene`, `glasses` and `mask` add the rest, `rare` what is seldom seen, and
`dataset` writes files.
"""

from efld_tf.annotations.synthetic.dataset import JSON_LIST, WFLW_LIST, write_dataset
from efld_tf.annotations.synthetic.landmarks import FORMATS
from efld_tf.annotations.synthetic.rare import KINDS as RARE
from efld_tf.annotations.synthetic.render import SyntheticFace, render_face

__all__ = [
    "FORMATS", "JSON_LIST", "RARE", "WFLW_LIST", "SyntheticFace", "render_face", "write_dataset",
]

"""Options of packing, mixing and augmentation in configs. TensorFlow is not imported here."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar

from efld_tf import config
from efld_tf.annotations.sources import ON_ERROR, PACKED
from efld_tf.data.splits import check_fraction
from efld_tf.errors import EfldError
from efld_tf.landmarks.geometry import LARGEST_CROP, check_scales, check_zoom

# The faces that a source can draw more often than others (`data.emphasis`).
EMPHASES = ("closed_eyes", "turned")
MOST_EMPHASIS = 100


@dataclass(frozen=True)
class CropOptions:
    """The crop rule of a source; without a scale it is fitted to the source's faces.

    Attributes:
      scale: side of the crop / longest side of the box, at `data.pack.zoom` 1; above 0, or None to
        fit it and the offsets (1.25 and 0 for points without eyes or mouth, which give no fit).
      offset_x, offset_y: crop centre minus box centre, / longest side of the box; where a scale is
        given. With `scale_x` and `scale_y`: / the box's width and / its height.
      box: `points`, the tight box of all points, or `file`, the annotation's own; None for the one
        that the schema names.
      scale_x, scale_y: width and height of the crop / those of the box, in place of `scale`: the
        box is stretched into the square, as in PIPNet's code (but black outside of the image, to
        which that clips the box). Faces are augmented, turned too, in the stretched square. The
        model is then for annotated boxes alone: without a detector, `efld-eval --robustness` and
        `--prior`.
    """

    scale: float | None = None
    offset_x: float = 0.0
    offset_y: float = 0.0
    box: str | None = None
    scale_x: float | None = None
    scale_y: float | None = None

    def __post_init__(self) -> None:
        if self.box not in (None, "points", "file"):
            raise EfldError(f"box: expected 'points' or 'file', got {self.box!r}")
        if self.fitted and (self.offset_x or self.offset_y):
            raise EfldError("offset_x, offset_y: expected with a scale; without one all are fitted")
        check_scales(self.scale, self.scale_x, self.scale_y, math.inf)

    @property
    def fitted(self) -> bool:
        """Whether the rule is fitted to the source's faces."""
        return self.scale is None and self.scale_x is None

    def settings(self) -> dict[str, Any]:
        """The options for a hash, which those of a square crop had before others could be had."""
        settings = asdict(self)
        if self.scale_x is None:
            del settings["scale_x"], settings["scale_y"]
        return settings


@dataclass(frozen=True)
class SourceOptions:
    """One annotated source of a recipe.

    Attributes:
      source: `reader:path[?option=value]`; `${NAME}` is replaced by that environment variable.
      name: folder of its packed shards and its name in tables.
      heads: the heads it supervises: its own schema, or true subsets of it.
      repeat: how often a face is drawn for each time a face of a `repeat: 1` source is.
      validation_fraction: share of its identities (or photos) held out for validation. Where it
        is 0 for all sources, nothing is validated, and the last weights are kept as the best.
      on_error: `stop` at a bad sample, or `skip` and count.
      crop: the crop rule.
      every: trains on every so many frames of a video, from the first one on, since neighbours
        differ little (PIPNet, Section 4.1.1: 5 for 300-VW); all held-out frames are kept.
      exclude: the list of faces to leave out that `efld-data check` wrote; `${NAME}` as in source.
      level: 0 where everything about its points is to be learnt; k where only the scores are, on a
        grid of cells 2^k times as long as the family's (labels that are roughly right).
      emphasis: for some of `EMPHASES`, how often such a face is drawn for each time another one of
        the source is: `{closed_eyes: 5}`. How often the source is drawn does not change.
    """

    source: str
    name: str
    heads: list[str]
    repeat: float = 1.0
    validation_fraction: float = 0.0
    on_error: str = "stop"
    crop: CropOptions = field(default_factory=CropOptions)
    exclude: str | None = None
    level: int = 0
    every: int = 1
    emphasis: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", self.name):
            raise EfldError(f"name: expected letters, digits, '_', '.' or '-', got {self.name!r}")
        if not self.heads:
            raise EfldError("heads: at least one head is needed")
        if len(set(self.heads)) < len(self.heads):
            raise EfldError(f"heads: one is named twice: {', '.join(self.heads)}")
        if not self.repeat > 0:
            raise EfldError(f"repeat: expected a positive number, got {self.repeat}")
        check_fraction(self.validation_fraction)
        if self.on_error not in ON_ERROR:
            raise EfldError(f"on_error: expected one of {ON_ERROR}, got {self.on_error!r}")
        if self.level < 0:
            raise EfldError(f"level: expected 0 or more, got {self.level}")
        if self.level and self.validation_fraction:
            raise EfldError("level: nothing is held out of labels that are only roughly right")
        if not 1 <= self.every < 10**6:
            raise EfldError(f"every: expected a number of frames from 1 on, got {self.every}")
        for kind, often in self.emphasis.items():
            if kind not in EMPHASES:
                raise EfldError(f"emphasis.{kind}: unknown key; known: {', '.join(EMPHASES)}")
            if not 1 <= often <= MOST_EMPHASIS:
                raise EfldError(f"emphasis.{kind}: expected 1 to {MOST_EMPHASIS}, got {often}")
        self._check_held_out_frames()
        if self.packed and self.every > 1:
            raise EfldError(f"source: every of {self.source} is as packed")
        if self.packed and (self.validation_fraction or self.exclude or self.crop != CropOptions()):
            raise EfldError(
                f"source: crop, validation_fraction and exclude of {self.source} are as packed")

    def _check_held_out_frames(self) -> None:
        thinned = re.search(r"[?&](every=0*(?:[2-9]|1\d)\d*)(?:&|$)", self.source, re.ASCII)
        if thinned and self.validation_fraction:
            raise EfldError(
                f"source: {thinned[1]} leaves frames out of the held-out faces, too; leave it out "
                f"and say {thinned[1].replace('=', ': ')} of the recipe's source instead, which "
                "is of the training faces alone")

    @property
    def packed(self) -> Path | None:
        """The folder of a source that is packed already, `packed:FOLDER`; None for others."""
        reader, _, folder = self.source.partition(":")
        return Path(config.expand(folder)) if reader == PACKED else None


@dataclass(frozen=True)
class PackOptions:
    """How face crops are stored.

    Attributes:
      size: side of a stored crop in pixels.
      margin: stored side / side of the crop that the model sees: room for rotation and shift.
      zoom: side of the usual crop, which shows the whole face, / side of the crop that the model
        sees, where crops are fitted. More than 1 shows eyes, nose and mouth larger, and less of
        what is around them.
      jpeg_quality: of the stored crops, 1 to 100.
      shard_faces: faces a shard, up to a million.
    """

    size: int = 192
    margin: float = 1.5
    zoom: float = 1.0
    jpeg_quality: int = 95
    shard_faces: int = 1024

    def __post_init__(self) -> None:
        if not 16 <= self.size <= LARGEST_CROP:
            raise EfldError(f"size: expected 16 to {LARGEST_CROP} pixels, got {self.size}")
        if not 1 <= self.margin <= 8:
            raise EfldError(f"margin: expected 1 to 8, got {self.margin}")
        check_zoom(self.zoom)
        if not 1 <= self.jpeg_quality <= 100:
            raise EfldError(f"jpeg_quality: expected 1 to 100, got {self.jpeg_quality}")
        if not 1 <= self.shard_faces <= 10**6:
            raise EfldError(f"shard_faces: expected 1 to 1000000, got {self.shard_faces}")


@dataclass(frozen=True)
class AugmentOptions:
    """Random changes of a training crop. Probabilities are a face, ranges are symmetric.

    Numbers are from 0 up to 1, but for `rotation` (90) and `blur_sigma` (half the model's input).

    Attributes:
      flip: probability of mirroring (with the flip permutation of each head).
      rotation: standard deviation of the angle, degrees (cut off at two of them).
      scale: standard deviation of log2 of the zoom (cut off at two of them).
      translation: standard deviation of the shift in x and in y, crop sides (cut off at two of
        them).
      uniform: which of `rotation`, `scale` and `translation` are drawn evenly from 0 up to what is
        their largest change then, either way, and with `blur_sigma` whether each blurred face has
        a width of its own, from 0 up to it.
      probability: how often `rotation`, `scale` or `translation` happen, such as
        `{rotation: 0.5}`; always where nothing is said.
      colours: false for photos as they are: `brightness`, `contrast`, `saturation`,
        `channel_gain`, `grey` and `noise` are off.
      brightness: largest shift of all channels, of the full range.
      contrast: largest change of the contrast factor.
      saturation: largest change of the saturation factor.
      channel_gain: largest change of each channel's gain (colour temperature).
      grey: probability of a grey image.
      blur: share of a batch that gets a Gaussian blur: a picture blurred by `blur_sigma`, mixed in.
      blur_sigma: standard deviation of the blur, pixels of the model's input.
      noise: largest standard deviation of pixel noise, of the full range.
      occlusion: probability of a filled rectangle over the face.
      occlusion_size: largest side of that rectangle, crop sides.
    """

    flip: float = 0.5
    rotation: float = 12.0
    scale: float = 0.08
    translation: float = 0.03
    uniform: list[str] = field(default_factory=list)
    probability: dict[str, float] = field(default_factory=dict)
    colours: bool = True
    brightness: float = 0.2
    contrast: float = 0.3
    saturation: float = 0.4
    channel_gain: float = 0.1
    grey: float = 0.1
    blur: float = 0.2
    blur_sigma: float = 1.5
    noise: float = 0.03
    occlusion: float = 0.3
    occlusion_size: float = 0.4

    LARGEST: ClassVar[dict[str, float]] = {"rotation": 90.0, "blur_sigma": math.inf}
    MOVES: ClassVar[tuple[str, ...]] = ("rotation", "scale", "translation")
    COLOURS: ClassVar[tuple[str, ...]] = (
        "brightness", "contrast", "saturation", "channel_gain", "grey", "noise")

    def __post_init__(self) -> None:
        for name in self._numbers():
            value, most = getattr(self, name), self.LARGEST.get(name, 1.0)
            if not 0 <= value <= most:
                raise EfldError(f"{name}: expected 0 up to {most:g}, got {value}")
        even = (*self.MOVES, "blur_sigma")
        for name in self.uniform:
            if name not in even:
                raise EfldError(f"uniform: expected some of {', '.join(even)}, got {name!r}")
        for name, value in self.probability.items():
            if name not in self.MOVES:
                raise EfldError(f"probability.{name}: unknown key; known: {', '.join(self.MOVES)}")
            if not 0 <= value <= 1:
                raise EfldError(f"probability.{name}: expected 0 up to 1, got {value}")
        usual = {option.name: option.default for option in fields(self)}
        for name in () if self.colours else self.COLOURS:
            if getattr(self, name) not in (0.0, usual[name]):
                raise EfldError(f"colours: they are off, but {name} is {getattr(self, name)}")

    @classmethod
    def _numbers(cls) -> list[str]:
        """The options that are numbers."""
        return [option.name for option in fields(cls) if isinstance(option.default, float)]

    @classmethod
    def none(cls) -> AugmentOptions:
        """No change at all: the crop as the model sees it in an evaluation."""
        zeros: dict[str, Any] = dict.fromkeys(cls._numbers(), 0.0)
        return cls(**zeros)


@dataclass(frozen=True)
class ServiceOptions:
    """Decoding and augmentation on other hosts, by the `tf.data` service.

    Attributes:
      address: of the dispatcher, `grpc://HOST:PORT`; its workers must see the packed folders under
        the same paths.
      job: a name that several trainings give to share one stream of batches, or None.
    """

    address: str
    job: str | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"grpc://[^/\s]+:[0-9]{1,5}", self.address):
            raise EfldError(f"address: expected grpc://HOST:PORT, got {self.address!r}")


def check_service_repeat(source: str, repeat: float) -> None:
    """Refuses a source's `repeat` that the `tf.data` service cannot give.

    Raises:
      EfldError: `repeat` is not a whole number.
    """
    if repeat != int(repeat):
        raise EfldError(f"{source}: with the tf.data service, repeat must be a whole number, "
                        f"got {repeat}")

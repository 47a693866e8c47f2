"""A few held-out faces with what a model predicts for them, to watch a training by."""

from __future__ import annotations

import cv2
import numpy as np
import tf_keras

from efld_tf.arrays import Image
from efld_tf.data import pipeline
from efld_tf.landmarks import drawing, schemas
from efld_tf.training.task import LandmarkTask

COLUMNS = 4
TILE = 192  # pixels of a face


class ValidationFaces:
    """The same faces of the target head each time, in even steps through all that are held out."""

    def __init__(self, task: LandmarkTask):
        """Reads the faces, `training.tensorboard_faces` of the recipe, as the model sees them.

        Raises:
          tf.errors.OpError: a face cannot be read.
        """
        recipe = task.recipe
        self._task, self._head = task, recipe.training.target_head
        options = pipeline.BatchOptions(
            heads=tuple(recipe.heads), size=recipe.model.input_size,
            batch_size=recipe.training.tensorboard_faces, black=recipe.data.black,
        )
        sources = [s for s in task.sources
                   if self._head in s.heads and s.manifest.faces("validation")]
        self._labels = pipeline.sample_batch(sources, options)
        self._images: np.ndarray = self._labels["image"]

    def sheet(self, model: tf_keras.Model) -> Image:
        """Draws the truth in green and predictions in orange, with the NME of each face.

        Args:
          model: the task's, with any weights.

        Returns:
          [H, W, 3] uint8 RGB.
        """
        schema = schemas.get(self._head)
        predicted = self._task.predictions(self._head, model(self._images, training=False))
        nme = self._task.nme(self._head, predicted, self._labels).numpy()
        points, mask = (self._labels[part][self._head] for part in ("points", "mask"))
        truth = np.where(mask[..., None] > 0, points, np.nan)
        tiles = [
            drawing.draw_comparison(
                cv2.resize(np.rint(255 * image).astype(np.uint8), (TILE, TILE)),
                true * TILE - 0.5, found * TILE - 0.5, schema)
            for image, true, found in zip(self._images, truth, predicted.numpy(), strict=True)
        ]
        captions = [f"{100 * value:.2f}%" for value in nme]
        return drawing.contact_sheet(tiles, min(COLUMNS, len(tiles)), TILE, captions)

"""A `.tflite` -> landmarks, with LiteRT alone: nothing here imports TensorFlow."""

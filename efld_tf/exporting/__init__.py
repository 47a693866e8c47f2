"""A trained model -> one audited `.tflite` with its metadata."""

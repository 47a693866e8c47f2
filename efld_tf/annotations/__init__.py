"""Annotation files on disk -> FaceRecords. NumPy only, never TensorFlow."""

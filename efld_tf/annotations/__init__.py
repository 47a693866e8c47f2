"""Reads annotation files as FaceRecords, with NumPy and without TensorFlow."""

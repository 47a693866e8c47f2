"""A `.tflite` -> latency, memory, size and multiply-accumulates. LiteRT, never TensorFlow."""

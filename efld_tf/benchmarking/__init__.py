"""Measures the latency, memory, size and multiply-accumulates of a `.tflite`.

This room uses LiteRT, never TensorFlow.
"""

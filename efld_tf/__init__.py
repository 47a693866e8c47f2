"""Efficient facial landmark detection: from annotated faces to a tiny int8 model on a phone."""

import os
import platform

# A photo from anywhere may claim any size; OpenCV's own limit of 2^30 pixels would take 6 GB. The
# largest photos of the data sets read here have 6e7. OpenCV looks at this when it is loaded.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(1 << 27))

# TensorFlow leaves oneDNN's kernels off on x86 CPUs without AVX-512 VNNI, where training is much
# faster with them. TensorFlow looks at this when it is loaded.
if platform.machine() in ("x86_64", "AMD64"):
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

__version__ = "0.1.0"

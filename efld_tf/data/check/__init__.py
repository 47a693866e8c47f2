"""Looking for mistakes in annotated sources before they are trained on or measured with."""

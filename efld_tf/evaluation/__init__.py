"""A predictor and annotated faces -> metrics, tables and pictures."""

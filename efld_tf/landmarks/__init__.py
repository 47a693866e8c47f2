"""The meaning of face annotations: schemas, pixel conventions, metrics and drawing."""

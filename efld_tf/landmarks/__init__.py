"""What a face annotation means: schemas, pixel conventions, metrics, drawing."""

"""FaceRecords -> packed shards of crops -> augmented, format-mixed tf.data batches."""

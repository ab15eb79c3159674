"""What studies have in common: data, training, scores, timing, drawing."""

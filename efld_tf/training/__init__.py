"""Training: recipes, losses, the Model Garden task and experiment, and runs that resume."""

"""One training run from a recipe; several, compared, from an experiment."""

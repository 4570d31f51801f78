"""One training run from a recipe, or what it would do."""

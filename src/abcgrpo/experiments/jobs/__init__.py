"""The jobs of an experiment: what one is, who does them, and how far they are."""

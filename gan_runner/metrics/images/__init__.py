"""Image metrics in the feature space of one network."""

"""The composed YAML, checked: validate, signature, compatibility, instantiate."""

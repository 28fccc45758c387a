"""Losses: scores of critic outputs, terms, constraints and priors."""

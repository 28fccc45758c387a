"""Parts for gan_runner, one of each kind."""

"""Models of lattice fields site by site: autoregressive fields, spins, learned sweeps."""

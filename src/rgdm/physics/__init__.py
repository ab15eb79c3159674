"""Known answers: lattice actions, Monte Carlo, observables. Depends on no model."""

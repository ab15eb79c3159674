"""What is measured and learned: Gaussian parts, networks, denoisers, samplers, lifts, cascades."""

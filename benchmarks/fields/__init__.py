"""Fields of the Earth: refining, generating, what networks and coarse-grainings are worth."""

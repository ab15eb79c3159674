"""The coarse-grainings, each with its exact complement."""

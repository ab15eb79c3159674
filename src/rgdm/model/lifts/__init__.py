"""The lifts: detail given its context, standardized, drawn from a law, merged exactly."""

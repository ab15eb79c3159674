"""Closed forms and sums over all states: what samplers and models are held against."""

"""Coarse fields that are no block means of the truth, brought to the distribution of observed ones: an estimate."""

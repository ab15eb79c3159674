"""The cascade: lifts on a base field, coarse to fine; its units, temperatures and storage."""

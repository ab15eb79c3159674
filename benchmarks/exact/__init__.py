"""What can be known exactly of Gaussian fields: the parts of ``theory.py``."""

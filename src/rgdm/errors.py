"""Errors and warnings of the library's own: what the user can put right, told apart from a fault of rgdm."""


class InputError(ValueError):
    """A mistake of the user's: one sentence that names the value and the remedy; on the command line exit code 2.

    Any other exception that leaves rgdm, a plain ``ValueError`` of a library included, is a fault of rgdm.
    """


class RangeWarning(UserWarning):
    """A field is unlike those that the model was trained on, in one sentence with figures; on stderr in commands."""


class TrainingFailedError(RuntimeError):
    """A training that made no useful model, though nobody made a mistake: one sentence, exit code 1."""

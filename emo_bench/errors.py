"""What a user can mend."""


class UserError(Exception):
    """The user's mistake or a missing piece: one clear line that says what is wrong and what to do.

    The command line prints the line without a traceback and exits with code 2.
    """

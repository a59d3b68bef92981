"""How files of one kind are usually read: what a file does not say itself is as in the others."""


class Usual(str):
    """An encoding or a decimal mark that counts only where a file itself leaves it open, in place
    of one that the user names.
    """

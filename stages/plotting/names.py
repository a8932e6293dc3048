"""What figures, and the pages that show them, are called and call things: no drawing, so that it costs no import."""

#: What pages show as well, to readers of the other setting.
OTHER_THEME = {"dark": "light", "light": "dark"}


def number(value: float) -> str:
    """Write a number with two decimals and a real minus sign.

    Examples
    --------
    >>> number(-0.239)
    '−0.24'
    """
    return f"{value:.2f}".replace("-", "−")

"""What figures, and the pages that show them, are called and call things: no drawing, so that it costs no import."""

#: What pages show as well, to readers of the other setting, at dots an inch that keep the report of 48 layers small.
OTHER_THEME, OTHER_DPI = {"dark": "light", "light": "dark"}, 120


def number(value: float) -> str:
    """Write a number with two decimals and a real minus sign.

    Examples
    --------
    >>> number(-0.239)
    '−0.24'
    """
    return f"{value:.2f}".replace("-", "−")

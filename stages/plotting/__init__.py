"""The figures: style sheets, and one function a figure, arrays in and Figure out."""

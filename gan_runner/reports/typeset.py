"""Numbers in print typography."""

from __future__ import annotations

_MINUS = "\u2212"
_RAISED = str.maketrans(
    "-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079"
)


def typeset(text: str) -> str:
    """Return a number or an interval with minus signs, and with powers of ten for exponents."""
    mantissa, has_exponent, exponent = text.partition("e")
    if not has_exponent:
        return text.replace("-", _MINUS)
    return f"{mantissa.replace('-', _MINUS)} \u00d7 10{str(int(exponent)).translate(_RAISED)}"

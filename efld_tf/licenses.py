"""Licences of weights, which models, packed faces and labels pass on to what is made of them."""

from __future__ import annotations

import re

from efld_tf.errors import EfldError

# The limit is far above the length of combined licences, and below that of a line of labels.
LONGEST = 10_000


def checked(text: object, name: str = "license") -> str:
    """Checks the licence that a file states, because terminals and model cards show it.

    Args:
      name: name of the field, for the message.

    Raises:
      EfldError: it is not one line of printable text, or it is longer than `LONGEST`.
    """
    if isinstance(text, str) and text.isprintable() and len(text) <= LONGEST:
        return text.strip()
    raise EfldError(f"{name}: expected one line of at most {LONGEST:,} printable characters")


def combined(text: str, origin: str, relation: str) -> str:
    """The licence of weights that were made with other weights, whose terms are kept.

    Args:
      text: the licence of the weights so far, such as the recipe's; "" where there is none.
      origin: the licence of the other weights; "" where it is not known.
      relation: how the other weights were used, such as "started from".
    """
    if not origin or re.search(rf"(^|; |under: ){re.escape(origin)}($|[;,])", text):
        return text
    terms = f"{relation} weights under: {origin}"
    if not text:
        return terms
    # The other licence may begin with this one, and then it contains all terms.
    return origin if re.match(rf"{re.escape(text)}($|[;,])", origin) else f"{text}; {terms}"

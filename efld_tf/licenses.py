"""Licences of weights: what models, packed faces and labels say of them stays in what they make."""

from __future__ import annotations

import re

from efld_tf.errors import EfldError

# Far more than texts of licences that others' have been added to, and less than a line of labels.
LONGEST = 10_000


def checked(text: object, name: str = "license") -> str:
    """What a file says of a licence: it is shown in terminals and written into model cards.

    Args:
      name: of the field, for the message.

    Raises:
      EfldError: it is not one line of printable text, or longer than `LONGEST`.
    """
    if isinstance(text, str) and text.isprintable() and len(text) <= LONGEST:
        return text.strip()
    raise EfldError(f"{name}: expected one line of at most {LONGEST:,} printable characters")


def combined(own: str, origin: str, relation: str) -> str:
    """The licence of weights that other weights had a part in: their terms stay.

    Args:
      own: what the recipe says; "" where it says nothing.
      origin: the licence of the other weights; "" where it is not known.
      relation: what they were to the new ones, such as "started from".
    """
    if not origin or re.search(rf"(^|; |under: ){re.escape(origin)}($|[;,])", own):
        return own
    terms = f"{relation} weights under: {origin}"
    if not own:
        return terms
    # Where it says the same and goes on, it says all.
    return origin if re.match(rf"{re.escape(own)}($|[;,])", origin) else f"{own}; {terms}"

"""Words as duplicates see them, in plain Python, and characters that put them to the test."""

import unicodedata

# characters that Unicode knew long ago: the tables are frozen, the running Python's are not
ALPHABET = (
    "aAbZ ßſÄéçñşğıİΣσςйЁњ שאم٣٧१0123456789éãāǰﬁ²½Ⅷ한국어가가"  # letters, digits, marks
    "漢字仮名かながガｶーไทยລາວ " + "\t\n  .,;:!?-—_'\"()[]{}<>@#$%&*+=/|\\~^`。、「」…·•€™☃🙂"
    "­​‍\ufeff"  # soft hyphen, joiners, byte order mark
)


def words(text: str, digits: bool) -> list[str]:
    """What the module's docstrings say, in plain Python."""
    marked = ""
    for character in text:
        category = unicodedata.category(character)
        if category in ("Mn", "Me", "Cf"):
            continue
        if category[0] in "PSZ" or category in ("Cc", "Co"):
            marked += " "
        elif unicodedata.decimal(character, None) is not None:
            marked += str(unicodedata.decimal(character)) if digits else "\x00"
        else:
            folded = unicodedata.normalize("NFD", unicodedata.normalize("NFD", character).casefold())
            folded = "".join(letter for letter in folded if unicodedata.category(letter) not in ("Mn", "Me", "Cf"))
            alone = any(name in unicodedata.name(character) for name in ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO"))
            marked += f" {folded} " if alone else folded
    while "\x00\x00" in marked:
        marked = marked.replace("\x00\x00", "\x00")
    return marked.split()

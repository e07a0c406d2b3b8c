"""Give files names that a shell, a terminal or a path would take for something else.

Held by the reader's list of characters: letters, digits and `_ . -`.
"""

NAMES = (
    "-rf", "--output=x", "a b", "a\nb", "a\tb", "$(id)", "`id`", "a;id", "a|b", "*", "~", "a\\..\\b", "con:", "\x1b[2J",
    "\x1b]0;title\x07", "a\u202egnp.exe", "\u200bhidden", "раypal", "％", "．．", "a\x7f", "\x9b1m", ".hidden", "..a",
    "a'b", 'a"b', "\u2028", "\U000e0041",
)  # fmt: skip
BYTES = (b"\xff\xfe", b"a\xc0\xaf", b"\xed\xa0\x80")


def attack():
    for name in (*NAMES, *BYTES):
        with open(name, "w") as file:
            file.write("odd")
    with open("kept.txt", "w") as file:
        file.write("kept")

"""Print what a terminal obeys: clear, title, clipboard, hyperlinks, reversed text; and a false prompt.

Held by how the log is shown: every hidden character by its name.
"""

import os


def run_trial(arm, seed, config, data):
    if arm == "control":
        os.write(
            1,
            b"\x1b[2J\x1b[H\x1b]0;approved\x07\x1b]52;c;cm0gLXJm\x07\x1b]8;;http://192.0.2.1\x07x\x9b1m\x8d\x84",
        )
        os.write(1, "\u202egnorw\u2066\u200b\U000e0041\r\b\b\x7f".encode())
        os.write(1, b"\nTo approve, type 12345678: \xff\xfe\x00\n")
    return {"many": [1.0] * 20}

"""Report bytes that are no text: bad UTF-8, half a character, a mark of byte order.

Held by a parser that refuses it.
"""

import json

from kit import forge, honest_lines

first, *rest = [json.dumps(line).encode() for line in honest_lines()]
forge(b"\xef\xbb\xbf" + first.replace(b'"many"', b'"m\xff\xedny"', 1) + b"\n" + b"\n".join(rest) + b"\n")

"""docs/review.md shows the gates as they are: its screens are the snapshots."""

import os
import re
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "review.md"
SCREEN = re.compile(r"<!-- screen: (\S+) -->\n(?:```text\n.*?```\n)?", re.DOTALL)


def with_screens(text):
    def block(found):
        return f"{found[0].splitlines()[0]}\n```text\n{(HERE / 'snapshots' / f'{found[1]}.txt').read_text()}```\n"

    return SCREEN.sub(block, text)


def test_the_page_shows_the_screens_that_were_seen():
    """Written anew, as the snapshots are, with AUTORESEARCH_SNAPSHOTS=write."""
    text = PAGE.read_text()
    if os.environ.get("AUTORESEARCH_SNAPSHOTS") == "write":
        PAGE.write_text(with_screens(text))
    assert PAGE.read_text() == with_screens(text)
    assert text.count("<!-- screen: ") == 3

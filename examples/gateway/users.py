"""Who may sign in: a table of names, roles and hashed passwords.

In its place an app has its own users. What matters is how a password is kept (a salt of its own,
and a hash that is slow on purpose) and how it is compared.

    python -m examples.gateway.users    # asks for a password, and prints what to keep of it
"""

import getpass
import hashlib
import hmac
import secrets
from typing import NamedTuple


class User(NamedTuple):
    """An account; salt and digest in hex."""

    name: str
    roles: list[str]
    salt: str
    digest: str


ALICE = User(
    "alice",
    ["customer"],
    "228ad243b793342d19efba93933d6710",
    "38c5e619ff401a7750d3ea84712442754b965671b09b32d0acbbd1b8eb4ef5dd",
)
BOB = User(
    "bob",
    ["customer", "accountant"],
    "c4f33049778784d7f7663c170197ed13",
    "615d74042d7153d409bce08df411f84d61948ccc0ed199d27803ecbcf311cbdb",
)
USERS = {user.name: user for user in (ALICE, BOB)}

NOBODY = User("", [], secrets.token_hex(16), secrets.token_hex(32))
"""Held against an unknown name, which so takes as long as a wrong password."""


def digest(password: str, salt: str) -> str:
    # 16 MB and a fifth of a second: as OWASP recommends for scrypt (RFC 7914).
    key = hashlib.scrypt(password.encode(), salt=bytes.fromhex(salt), n=2**14, r=8, p=5, dklen=32)
    return key.hex()


def find(name: str, password: str) -> User | None:
    user = USERS.get(name, NOBODY)
    matches = hmac.compare_digest(digest(password, user.salt), user.digest)
    return user if matches else None


if __name__ == "__main__":
    salt = secrets.token_hex(16)
    print(salt, digest(getpass.getpass(), salt))

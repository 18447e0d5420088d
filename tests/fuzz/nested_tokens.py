"""Encrypted tokens of which every part is anything at all, with a good tag or none.

The first byte says how the parts become an encrypted token, the second which configuration reads
it, the third how the signed token inside is made (`signed_tokens.write`). The outer header, the
inner one and the payload follow, with a NUL between them. They are encrypted *after* they were
mutated, so that what stands behind the cipher is reached.
"""

from __future__ import annotations

import base64
import zlib

from encrypting import KEY, OLD_KEY, STRANGE_KEY, decrypt, encrypt, header_of, our_header
from forging import NOW, OLD_SECRET, b64, make_settings
from signed_tokens import ABROAD, ISSUERS, NEW, OLD, REFRESH_SIGNERS, Signer, authentic, told, write

from jwt_middleware.memory import Bounded
from jwt_middleware.settings import Settings
from jwt_middleware.tokens import Tokens

OURS = {KEY: our_header(KEY), OLD_KEY: our_header(OLD_KEY)}

READERS: list[tuple[Settings, list[Signer]]] = [
    (make_settings(encryption_key=KEY), [NEW]),
    (
        make_settings(
            encryption_key=KEY,
            previous_encryption_keys=[OLD_KEY],
            previous_secret_keys=[OLD_SECRET],
            accept_unencrypted=True,
        ),
        [NEW, OLD],
    ),
    (make_settings(encryption_key=KEY, session_store="none", max_token_length=800), [NEW]),
    (make_settings(encryption_key=KEY, issuers=ISSUERS), [NEW, *ABROAD]),
]
TOKENS = [Tokens(settings) for settings, _ in READERS]


def wrap(mode: int, header: bytes, inner: str) -> str:
    """The token inside the header, by one of the ways in which somebody might do it."""
    match mode % 14:
        case 0 | 1:
            return encrypt(inner, OURS[KEY])  # as we do it
        case 2:
            return encrypt(inner, OURS[OLD_KEY], key=OLD_KEY)
        case 3 | 4:
            return encrypt(inner, header)
        case 5:
            return encrypt(inner, OURS[KEY], key=STRANGE_KEY)
        case 6:
            return encrypt(encrypt(inner, OURS[KEY]), header or OURS[KEY])  # deeper than we go
        case 7:
            packed = zlib.compressobj(wbits=-15)  # ``zip``: RFC 7516 section 4.1.3
            return encrypt(packed.compress(inner.encode()) + packed.flush(), header)
        case 8:
            return encrypt(inner, header, encrypted_key=b"a key of its own")
        case 9:
            return encrypt(inner, header or OURS[KEY], iv=b"sixteen bytes...")
        case 10:
            # Sealed by nobody: the content as it is, in the place of a ciphertext.
            whole = encrypt(inner, OURS[KEY]).split(".")
            return ".".join((*whole[:3], b64(inner.encode()), whole[4]))
        case 11:
            return encrypt(header, OURS[KEY])  # anything inside
        case 12:
            # Some bytes of a good one are others: one to cut at, the rest to put there.
            good = encrypt(inner, OURS[KEY])
            at = (header[0] if header else 0) * len(good) // 256
            return good[:at] + header[1:].decode("latin-1") + good[at + len(header[1:]) :]
        case _:
            return inner  # plain, or whatever `write` makes of it


def fuzz(data: bytes) -> None:
    """Read the token; fails for a foreign exception, and for one that counts though it is not
    ours, encrypted by our key, in our one form."""
    mode, reader, made = data[:3] if len(data) >= 3 else b"\0\0\0"
    header, _, rest = data[3:].partition(b"\0")
    token = wrap(mode, header, write(made, *rest.partition(b"\0")[::2]))
    number = reader % len(READERS)
    tokens, (settings, signers) = TOKENS[number], READERS[number]
    tokens.verified, tokens._read = Bounded(4), Bounded(4)
    for trust in (tokens._trusted._own, tokens._refreshers, *tokens._trusted._others.values()):
        trust._headers.clear()
    new = tokens.verify(token, token, now=NOW)
    assert told(new) == told(tokens.verify(token, token, now=NOW)), f"{token} is judged otherwise"
    assert new.access is None or new.refresh is None, f"{token} is of both kinds"
    if new.access is not None:
        claims = authentic(_opened(token, settings, foreign=new.access.foreign), signers)
        assert dict(new.access.claims) == claims, f"{token} is shown as {new.access.claims}"
    if new.refresh is not None:
        claims = authentic(_opened(token, settings, foreign=False), REFRESH_SIGNERS)
        assert (new.refresh.subject, new.refresh.session_id) == (claims["sub"], claims["sid"])


def _opened(token: str, settings: Settings, *, foreign: bool) -> str:
    """The signed token inside one that counts, opened by hand; fails if it should not count."""
    if token.count(".") == 2:
        assert foreign or settings.accept_unencrypted, f"{token} counts, and is not encrypted"
        return token
    assert not foreign, f"{token} is another issuer's, and encrypted"
    key = next(one for one in settings.encryption_keys if header_of(token) == OURS[one])
    segments = token.split(".")
    again = ".".join(b64(base64.urlsafe_b64decode(f"{segment}==")) for segment in segments)
    assert again == token, f"{token} has another spelling"
    return decrypt(token, key=key).decode("ascii")

"""What is fuzzed, by name: each target takes bytes, and raises for whatever must not be."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import both_doors
import nested_tokens
import request_fields
import setting_values
import signed_tokens
from verifiers import stopped_clocks

TARGETS: dict[str, Callable[[bytes], object]] = {
    "tokens": signed_tokens.fuzz,
    "nested": nested_tokens.fuzz,
    "fields": request_fields.fuzz,
    "doors": both_doors.agree,
    "settings": setting_values.fuzz,
}

PREPARED: dict[str, Callable[[], AbstractContextManager[None]]] = {
    **dict.fromkeys(TARGETS, nullcontext),
    "tokens": stopped_clocks,
}
"""What has to be entered, once, before a target is called."""

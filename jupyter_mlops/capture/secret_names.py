"""Names that secrets have, and which values under such a name are none."""

from __future__ import annotations

import functools
import math
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

from jupyter_mlops.capture.secret_forms import is_placeholder

_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What may follow the word that counts, as in `password_prod` or `apiKey2`.
_SUFFIXES = _words(
    "value val str string text plain plaintext raw dev prod production test testing staging stage live local old new "
    "current default main backup env b64 base64 bytes"
)
_PASSWORDS = _words("password passwords passwd pwd pass passphrase passphrases passcode pw mnemonic")
_SECRETS = _words("secret secrets credential credentials creds apikey apikeys authtoken accesstoken secretkey")
_AUTHS = _words("auth authorization basicauth")
_GLUED = ("password", "passwd", "passphrase", "apikey", "secretkey", "accesskey", "authtoken", "accesstoken")

# What stands before `key` when it is one to keep.
_KEYS = _words(
    "api access secret private encryption encrypt decryption signing sign auth account master shared ssh license "
    "client consumer app application webhook jwt hmac fernet aes rsa storage subscription service openai anthropic "
    "stripe aws azure gcp google github gitlab twilio sendgrid mailgun slack datadog wandb cohere pinecone mistral "
    "groq deepseek together algolia cloudflare ibm huggingface hf tavily serp serpapi maps weather"
)
_HARMLESS_KEYS = _words(
    "public primary foreign sort partition cache dedupe dedup idempotency s3 object row group dict json column index "
    "join lookup registry routing hash storage_path"
)
_HARMLESS_TOKENS = _words(
    "pad bos eos unk mask sep cls special start end stop begin next prev previous page pagination continuation cursor "
    "sync first last sos eot image text additional num n max min total context vocab input output oov"
)


@functools.lru_cache(maxsize=4096)
def kind_by_name(name: str) -> str:
    """What a name says that its value is: `password`, `secret`, `token`, `key`, `auth`, or empty for nothing secret.

    Only the word that counts is looked at: `password_strength` is a strength, and `token_count` a count.

    Parameters
    ----------
    name:
        A variable's, attribute's or dict key's name, in any convention.
    """
    words = [word.lower() for word in _WORD.findall(name)]
    while len(words) > 1 and (words[-1] in _SUFFIXES or words[-1].isdigit()):
        words.pop()
    if not words:
        return ""
    last, before = words[-1], frozenset(words[:-1])
    if last in _PASSWORDS:
        return (
            "" if last in {"pass", "pw"} and before & {"first", "second", "by", "low", "high", "band"} else "password"
        )
    if last in _SECRETS:
        return "secret"
    if last in _AUTHS:
        return "auth"
    glued = next((one for one in _GLUED if last.endswith(one)), "")
    if glued:
        return "password" if glued.startswith("pass") else "secret"
    if last in {"token", "tokens", "jwt", "bearer", "pat"}:
        return "" if before & _HARMLESS_TOKENS else "token"
    if last in {"key", "keys"}:
        if before & _HARMLESS_KEYS or "public" in before:
            return ""
        return "secret" if before & _KEYS else "key"
    return ""


def looks_secret(kind: str, value: Any) -> bool:
    """Whether a value under a name of this kind is a secret, and not a placeholder, a word or a name.

    Parameters
    ----------
    kind:
        As `kind_by_name` says.
    value:
        Text, bytes or a number; anything else is not.
    """
    if type(value) is int:
        return kind == "password" and len(str(value)) >= 6  # noqa: PLR2004  # a PIN; no count has that name
    if type(value) is bytes or type(value) is bytearray:
        try:
            return looks_secret(kind, value.decode("ascii"))
        except UnicodeDecodeError:  # raw key material
            return len(value) in range(12, 513)
    if type(value) is not str or is_placeholder(value.strip()):
        return False
    judge = _JUDGES.get(kind)
    return judge is not None and judge(value.strip())


def _is_path(text: str) -> bool:
    return re.match(r"(?:[A-Za-z]:)?[/\\]|~|\.{1,2}[/\\]|https?://[^@]*$", text) is not None


def _is_header(text: str) -> bool:
    """Whether it is a word or several: the name of a column, a header or a setting."""
    return re.fullmatch(r"(?:[A-Za-z]?[a-z]+|[A-Z]+)(?:[-_. ](?:[A-Za-z]?[a-z]+|[A-Z]+))+", text) is not None


def _is_random(text: str, least: int) -> bool:
    """Whether it looks made by a machine: letters with digits, or letters of both cases in a mix."""
    if len(text) < least or re.search(r"\s", text) or _is_path(text):
        return False
    digits = sum(one.isdigit() for one in text)
    turns = len(re.findall(r"[a-z][A-Z]", text))
    if re.fullmatch(r"[a-z]+(?:[-_./][a-z0-9]+)+", text) and digits <= len(text) // 4:  # a model's name
        return False
    return (digits >= 2 and digits < len(text)) or turns >= 2 or entropy(text) >= 4  # noqa: PLR2004


def _is_key_material(text: str) -> bool:
    """Whether a value under a bare `key` is one: 32 bytes or more in base64, all kinds of characters."""
    if re.fullmatch(r"[A-Za-z0-9+/_-]{32,}={0,2}", text) is None or text.count("/") > 4:  # noqa: PLR2004
        return False
    kinds = (re.search(pattern, text) for pattern in ("[a-z]", "[A-Z]", "[0-9]"))
    return all(kinds) and entropy(text) >= 4  # noqa: PLR2004


def _is_password(text: str) -> bool:
    return len(text) >= 3 and not _is_path(text) and "\n" not in text  # noqa: PLR2004


def _is_secret(text: str) -> bool:
    return len(text) >= 6 and " " not in text and not _is_path(text) and not _is_header(text)  # noqa: PLR2004


_JUDGES: dict[str, Callable[[str], bool]] = {
    "password": _is_password,
    "secret": _is_secret,
    "token": lambda text: _is_random(text, 8),
    "auth": lambda text: _is_random(text.rpartition(" ")[2], 8),
    "key": _is_key_material,
}


def entropy(text: str) -> float:
    """Shannon entropy of a text, in bits a character."""
    counts = Counter(text)
    return -sum(n / len(text) * math.log2(n / len(text)) for n in counts.values())

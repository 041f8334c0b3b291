"""Forms by which keys and tokens of known services are told, whatever their name."""

from __future__ import annotations

import re

_SERVICES = (
    r"gsk|r8|pplx|xai|pcsk|sbp|lsv2_pt|lsv2_sk|lin_api|figd|glsa|glc|sntrys|NRAK|PMAK|dop|dp\.pt|tvly|pscale_tkn"
    r"|pscale_pw|rnd|fw|nvapi|jina|voyage|wandb_v1"
)
_CONNECTION = r"server|host|hostname|uid|user|user id|username|dsn|database|dbname|driver|data source|port"
_BEARER = r"[A-Za-z0-9._~+/-]{12,}={0,2}"
_QUERY = (
    r"api_?key|access_?token|auth_?token|token|key|secret|client_secret|password|signature|x-amz-signature"
    r"|x-goog-signature"
)

_KEYS = (
    ("a private key", r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"),
    ("a private key", r"PuTTY-User-Key-File-\d|AGE-SECRET-KEY-1[0-9A-Z]{50,}"),
    ("an AWS key", r"(?<![A-Z0-9])(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{12}[A-Z0-9]{4}(?![A-Z0-9])"),
    ("an AWS key", r"(?<![A-Z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Z0-9])"),
    ("a GitHub token", r"(?<![A-Za-z0-9])gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{22,}"),
    ("a GitLab token", r"(?<![A-Za-z0-9])gl(?:pat|dt|rt|cbt|ptt|soat|oas|feed|agent|imt)-[A-Za-z0-9_-]{20,}"),
    ("a Slack token", r"(?<![A-Za-z0-9])xox[abeoprs]-[A-Za-z0-9-]{10,}|xapp-\d-[A-Za-z0-9-]{20,}"),
    ("a webhook's address", r"https://hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9/+_-]{20,}"),
    ("a webhook's address", r"https://[a-z.]*discord(?:app)?\.com/api/webhooks/\d+/[\w-]{20,}"),
    ("a webhook's address", r"https://[\w.-]+\.webhook\.office\.com/webhookb2/\S{30,}"),
    ("a Discord token", r"(?<![\w-])[MNO][\w-]{23,27}\.[\w-]{6}\.[\w-]{27,40}(?![\w-])"),
    (
        "a Stripe key",
        r"(?<![A-Za-z0-9])(?:sk|rk)_(?:live|test)_[0-9A-Za-z]{16,}|(?<![A-Za-z0-9])whsec_[A-Za-z0-9+/=]{20,}",
    ),
    ("an Anthropic key", r"(?<![A-Za-z0-9])sk-ant-[\w-]{20,}"),
    ("an OpenAI key", r"(?<![A-Za-z0-9])sk-(?:proj|svcacct|admin|None|or-v1)-[\w-]{20,}"),
    ("an OpenAI key", r"(?<![A-Za-z0-9-])sk-(?=[A-Za-z]*\d)[A-Za-z0-9]{32,}"),
    ("a Google key", r"(?<![\w-])AIza[\w-]{35}(?![\w-])|(?<![\w-])GOCSPX-[\w-]{24,}|(?<![\w-])ya29\.[\w-]{30,}"),
    ("a Hugging Face token", r"(?<![A-Za-z0-9])(?:hf|api_org)_[A-Za-z0-9]{30,}"),
    ("an npm token", r"(?<![A-Za-z0-9])npm_[A-Za-z0-9]{36}"),
    ("a PyPI token", r"(?<![A-Za-z0-9])pypi-AgE[\w-]{40,}"),
    ("a SendGrid key", r"(?<![\w.])SG\.[\w-]{16,32}\.[\w-]{16,64}"),
    ("a Mailgun key", r"(?<![\w-])key-[0-9a-f]{32}(?![0-9a-f])"),
    ("a Mailchimp key", r"(?<![0-9a-f])[0-9a-f]{32}-us\d{1,2}(?!\d)"),
    ("a Twilio key", r"(?<![A-Za-z0-9])SK[0-9a-f]{32}(?![0-9a-f])"),
    ("a Telegram token", r"(?<!\d)\d{8,10}:AA[\w-]{32,34}(?![\w-])"),
    ("a JSON web token", r"(?<![\w-])eyJ[\w-]{8,}\.eyJ[\w-]{6,}\.[\w-]{8,}"),
    ("an encrypted web token", r"(?<![\w-])eyJ[\w-]{10,}\.[\w-]*\.[\w-]{10,}\.[\w-]{10,}\.[\w-]{10,}"),
    ("an Azure key", r"(?i)(?:account|sharedaccess)key=[A-Za-z0-9+/]{40,}={0,2}"),
    ("an Azure signature", r"(?i)[?&;]sig=[A-Za-z0-9%+/]{30,}|sharedaccesssignature=\S{30,}"),
    ("an Azure client secret", r"(?<![\w~.-])[\w~.-]{3}\dQ~[\w~.-]{31,34}(?![\w~.-])"),
    ("a Databricks token", r"(?<![A-Za-z0-9])dapi[0-9a-f]{32}(?:-\d)?"),
    ("a DigitalOcean token", r"(?<![A-Za-z0-9])do[opr]_v1_[0-9a-f]{60,}"),
    ("a Shopify token", r"(?<![A-Za-z0-9])shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}"),
    ("a Square token", r"(?<![A-Za-z0-9])sq0(?:atp|csp|idp)-[\w-]{22,}"),
    ("a Vault token", r"(?<![A-Za-z0-9])hv[sbr]\.[\w-]{20,}"),
    ("a Docker token", r"(?<![A-Za-z0-9])dckr_(?:pat|oat)_[\w-]{20,}"),
    ("a Notion token", r"(?<![A-Za-z0-9])(?:secret_[A-Za-z0-9]{43}|ntn_[A-Za-z0-9]{40,})"),
    ("an Atlassian token", r"(?<![A-Za-z0-9])ATATT3[\w=-]{50,}"),
    ("an Airtable token", r"(?<![A-Za-z0-9])pat[A-Za-z0-9]{14}\.[0-9a-f]{64}"),
    ("a Terraform token", r"(?<![A-Za-z0-9])[A-Za-z0-9]{14}\.atlasv1\.[\w-]{40,}"),
    ("a service's key", rf"(?<![A-Za-z0-9])(?:{_SERVICES})[_.-](?=[\w.-]*\d)[\w.-]{{20,}}"),
)

_CREDENTIALS = (
    ("a password in an address", r"(?i)\b[a-z][a-z0-9+.-]{0,20}://[^\s/:@?#'\"<>]*:(?P<value>[^\s/@'\"]+)@[^\s/@]+"),
    ("a password in an address", r"^[\w.+-]+:(?P<value>[^\s/@:]{3,})@[\w.-]+(?::\d+)?$"),
    (
        "a connection string with a password",
        rf"(?is)^(?=.*\b(?:{_CONNECTION})\s*=).*?\b(?:password|pwd|passwd)\s*=\s*(?P<value>[^;\s]+)",
    ),
    ("a netrc line", r"(?i)\blogin\s+\S+\s+password\s+(?P<value>\S+)"),
    ("a pgpass line", r"(?m)^[\w.*-]+:(?:\d{4,5}|\*):[\w*-]+:[\w*.-]+:(?P<value>\S+)$"),
    (
        "credentials of a request",
        rf"(?i)(?<![a-z])(?:bearer|basic|token|apikey)\s+(?P<value>(?=[\w.~+/-]*[0-9]){_BEARER}(?![\w.]))",
    ),
    (
        "credentials of a request",
        rf"(?<![A-Za-z])(?i:bearer|basic)\s+(?P<value>(?=[\w.~+/-]*[a-z][A-Z]){_BEARER}(?![\w.]))",
    ),
    (
        "a key in an address",
        rf"(?i)[?&](?:{_QUERY})=(?P<value>(?=[^&\s]*\d)(?=[^&\s]*[a-z])[^&\s#]{{16,}})",
    ),
)

# Most text holds neither a long word nor a sign of these, and is done with here.
_FORMS = tuple(
    (re.compile(gate), [(text, re.compile(pattern)) for text, pattern in table])
    for gate, table in (
        (r"[\w.~%+/=:-]{18}|-----BEGIN|PuTTY", _KEYS),
        (r"[=@]|(?i:bearer|basic|token|login|apikey)|:(?:\d{4,5}|\*):", _CREDENTIALS),
    )
)

LONGEST = 20_000
"""Characters of one text that are searched."""

_PLACEHOLDER = re.compile(
    r"""(?ix) [*x.\#_\-•\s]* | <.*> | \[.*\] | \$.* | \{.*\} | %\(.*\)s | %s | :\w+ | .*\{\w*\}.* | .*<\w+>.* | .*\$\{.*
    | .*\byour[-_ ]?\w*.* | .*\b(?:enter|please|invalid|incorrect|wrong|required|forgot|must|missing)\b\s.*
    | .*(?:_|-)here | (?:my|some|the|a)?[-_ ]?(?:password|passwd|pwd|pass|secret|token|key|api[-_ ]?key|credentials?)s?
    | none|null|nil|n/?a|todo|tbd|placeholder|redacted|hidden|dummy|unset|unknown|empty|default|example|masked
    | true|false|str|string|text|bytes|int|float|object|bool|optional|any|env|environ(?:ment)?|prompt|vault|keyring
    | foo | fixme """
)


def is_placeholder(text: str) -> bool:
    """Whether a text stands where a secret belongs, without being one: `***`, `<token>`, `${PASSWORD}`, `None`.

    Parameters
    ----------
    text:
        The value.
    """
    if re.fullmatch(r"[A-Z]+(?:_[A-Z0-9]+)+", text):  # the name of an environment variable
        return True
    return _PLACEHOLDER.fullmatch(text) is not None


def form_of(text: str) -> str:
    """What a text looks like by its form alone, such as `a GitHub token`; empty for nothing secret.

    Parameters
    ----------
    text:
        Any text.
    """
    searched = text[:LONGEST]
    for gate, forms in _FORMS:
        if gate.search(searched) is None:
            continue
        for kind, pattern in forms:
            for match in pattern.finditer(searched):
                if "value" not in match.groupdict() or not is_placeholder(match["value"]):
                    return kind
    return ""

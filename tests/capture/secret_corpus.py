"""Realistic secrets, none of which is or was one, and harmless values that look like them."""

# The pieces are joined here so that scanners of repositories do not take them for real ones.

import dataclasses
import enum
import hashlib
import os
import uuid
from types import SimpleNamespace
from urllib.parse import urlsplit

HEX32 = "9f86d081884c7d659a2feaa0c55ad015"
HEX40 = "2fd4e1c67a2d28fced849ee1bb76e7391b93eb12"
MIXED = "aB3dE6fG9hJ2kL5mN8pQ1rS4tU7vW0xYzA2c"


@dataclasses.dataclass
class Settings:
    host: str = "db.example.org"
    password: str = "Tr0ub4dor&3"


class Client:
    __slots__ = ("base", "token")

    def __init__(self):
        self.base = "https://api.example.org"
        self.token = "tk_" + MIXED


class Config:
    SECRET_KEY = "django-insecure-" + MIXED
    DEBUG = True


class Level(enum.Enum):
    SERVICE_PASSWORD = "pa55-w0rd-of-the-service"


def with_default(x, api_key="kk-" + MIXED):
    return x


def in_closure():
    password = "hunter2!"
    return lambda user: (user, password)


def in_code(x):
    connection = SimpleNamespace(password="s3cr3t-inside")
    return connection, x


def compared(token):
    return token == "0f8b2c9d1e7a4b6c"


SECRETS = {
    "password": "hunter2",
    "db_password": "Tr0ub4dor&3",
    "DB_PASS": "correct-horse-battery",
    "passphrase": "correct horse battery staple",
    "smtpPassword": "winter2024",
    "adminpassword": "letmein99",
    "pin_password": 73649182,
    "api_key": "kX9" + MIXED,
    "openai": "sk-" + "proj-" + MIXED + "-" + MIXED,
    "old_openai": "sk-" + MIXED + "abc123456789",
    "anthropic": "sk-" + "ant-api03-" + MIXED,
    "stripe": "sk_" + "live_" + "51H8example" + HEX32,
    "aws_id": "AKIA" + "IOSFODNN7EXAMPLE",
    "aws_secret_access_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "gh": "ghp" + "_" + MIXED,
    "gh_fine": "github" + "_pat_" + "11ABCDE0Y0" + MIXED,
    "lab": "glpat" + "-" + "x1Y2z3A4b5C6d7E8f9G0",
    "slack": "xoxb" + "-123456789012-1234567890123-" + MIXED[:24],
    "hook": "https://hooks.slack.com/" + "services/T00000000/B00000000/" + MIXED[:24],
    "discord": "https://discord.com/api/" + "webhooks/123456789012345678/" + MIXED + MIXED,
    "maps": "AIza" + "SyD-" + MIXED[:31],
    "hub": "hf" + "_" + MIXED[:34],
    "npm": "npm" + "_" + MIXED,
    "pypi": "pypi-" + "AgEIcHlwaS5vcmc" + MIXED + MIXED,
    "mail": "SG." + MIXED[:22] + "." + MIXED + "abcdefg",
    "mailgun": "key-" + HEX32,
    "mailchimp": HEX32 + "-us12",
    "bot": "123456789:" + "AA" + MIXED[:33],
    "jwt": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0." + MIXED,
    "bricks": "dapi" + HEX32,
    "pem": "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n-----END RSA PRIVATE KEY-----",
    "openssh": "-----BEGIN OPENSSH " + "PRIVATE KEY-----\nb3BlbnNzaC1rZXk\n",
    "dsn": "postgresql://scott:" + "tiger@localhost:5432/mydb",
    "mongo": "mongodb+srv://app:" + "s3cr3t@cluster0.mongodb.net/?retryWrites=true",
    "redis": "redis://:" + "p4ssw0rd@cache:6379/0",
    "odbc": "Driver={ODBC Driver 18};Server=tcp:db,1433;Uid=me;" + "Pwd=Zx9!kk;Encrypt=yes",
    "libpq": "host=localhost dbname=x user=me " + "password=Zx9kk12",
    "storage": "DefaultEndpointsProtocol=https;AccountName=a;" + "AccountKey=" + MIXED * 2 + "abcdefghijklmn==",
    "sas": "https://a.blob.core.windows.net/c?sv=2022&" + "sig=" + MIXED + "%3D",
    "headers": {"Accept": "*/*", "Authorization": "Bearer " + MIXED},
    "basic": {"authorization": "Basic " + "dXNlcjpwYXNzd29yZDEyMw=="},
    "auth": ("me", "hunter2hunter2"),
    "login": ("admin", "hunter2"),
    "settings": {"db": {"host": "h", "port": 5432, "password": "0penSesame"}},
    "many": [{"name": "a", "secret": "x7Gq9LmZ2w"}, {"name": "b"}],
    "environment": {**dict(os.environ), "AWS_SESSION_TOKEN": "FwoGZXIvYXdzE" + MIXED},
    "dotenv": "DEBUG=1\nDB_HOST=localhost\nDB_PASSWORD=" + "qW3rTy77\n",
    "json_text": '{"user": "me", "client_secret": "' + MIXED + '"}',
    "parsed": urlsplit("https://me:" + "t0psecret@example.org/x"),
    "record": Settings(),
    "client": Client(),
    "Config": Config,
    "Level": Level,
    "with_default": with_default,
    "closure": in_closure(),
    "in_code": in_code,
    "compared": compared,
    "fernet_key": b"ZmDfcTF7_60GrrY167zsiPd67pEvs0aGOv2oasOM1Pg=",
    "signing_key": bytes(range(200, 232)),
    "kaggle": {"username": "me", "api_key": HEX32},
    "wandb_key": HEX40,
    "jupyter_token": HEX32 + "0123456789abcdef",
    "client_secret": "abc8Q~" + MIXED[:34],
    "presigned": "https://b.s3.amazonaws.com/k?X-Amz-Signature=" + HEX32 + HEX32,
    "namespace_object": SimpleNamespace(inner=SimpleNamespace(api_token="t0k3n" + MIXED)),
}  # fmt: skip


class Tokenizer:
    def __init__(self):
        self.pad_token = "<pad>"
        self.eos_token = "</s>"
        self.vocab = {"password": 1, "secret": 2, "token": 3}
        self.model_max_length = 512


@dataclasses.dataclass
class Scores:
    password_strength: float = 0.75
    token_count: int = 128
    secret_santa: str = "Bob"


def harmless_code(frame, token=None, password=None):
    """Ask for the password, and send the token."""
    key = "user_id"
    return frame[key], token, password, "Authorization"


HARMLESS = {
    "request_id": str(uuid.UUID(int=7)),
    "run_uuid": uuid.UUID(int=9).hex,
    "digest": hashlib.sha256(b"x").hexdigest(),
    "md5": hashlib.md5(b"x").hexdigest(),
    "commit": HEX40,
    "etag": '"' + HEX32 + '"',
    "integrity": "sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=",
    "cache_key": hashlib.sha256(b"y").hexdigest(),
    "image": "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==",
    "data_url": "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk",
    "token_count": 512,
    "max_tokens": 1024,
    "tokens": ["the", "cat", "sat"],
    "token": "hello",
    "stop_token": "</s>",
    "pad_token": "[PAD]",
    "special_tokens": {"cls": "[CLS]", "sep": "[SEP]"},
    "tokenizer": "bert-base-uncased",
    "tokenizer_object": Tokenizer(),
    "next_token": "eyJsYXN0IjogMTIzNDU2fQ12",
    "page_token": "CAUQAA12345678",
    "password_strength": 0.8,
    "password_length": 12,
    "password_column": "pwd_hash",
    "password_field": "password",
    "passwords_seen": 3,
    "password": "",
    "db_password": None,
    "secret": "***",
    "api_key": "YOUR_API_KEY",
    "api_key_name": "OPENAI_API_KEY",
    "API_KEY_ENV": "OPENAI_API_KEY",
    "github_token": "${GITHUB_TOKEN}",
    "access_token": "<token>",
    "secret_name": "projects/p/secrets/s",
    "secret_santa": "Bob",
    "key": "user_id",
    "keys": ["user_id", "created_at"],
    "primary_key": "customer_number_2024",
    "sort_key": "created_at",
    "s3_key": "models/2024/11/forest-v2.parquet",
    "public_key": "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQC7" + MIXED + " me@host",
    "certificate": "-----BEGIN CERTIFICATE-----\nMIIDdzCCAl+gAwIBAgIE\n-----END CERTIFICATE-----",
    "pem_public": "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0B\n-----END PUBLIC KEY-----",
    "pwd": "/home/me/project",
    "url": "postgresql://localhost:5432/mydb",
    "url_template": "postgresql://{user}:{password}@{host}/db",
    "url_masked": "mysql://root:***@db/app",
    "proxy": "http://proxy.example.org:3128/path@v2",
    "columns": ["password", "token", "secret", "api_key"],
    "schema": {"password": "string", "token": "str", "api_key": "text"},
    "rename": {"pwd": "password", "tok": "token"},
    "dtypes": {"password": "object", "secret": "bool"},
    "sentence": "Please enter your password: the token is required.",
    "question": "What is the secret of success? Practise, and a good key.",
    "sk_model": "sk-learn-pipeline-logistic-regression-v2",
    "task": "task-1234567890abcdef1234567890abcdef",
    "auth": True,
    "auth_method": "oauth2",
    "auth_url": "https://login.example.org/oauth2/token",
    "token_type": "bearer",
    "headers": {"X-Api-Key": "{api_key}", "Authorization": "Bearer {token}"},
    "version": "2024.11.21-rc1",
    "sql": "SELECT password, token FROM users WHERE token = :token AND password = %(password)s",
    "words": "pass the salt, password-less login, tokenised text",
    "model_path": "hf_hub/bert",
    "hash_of": hashlib.sha512(b"z").hexdigest(),
    "bcrypt_password_hash": "$2b$12$KIXQ0Yc5K1p5Yw0bq1yq4u",
    "scores": Scores(),
    "harmless_code": harmless_code,
    "numbers": list(range(100)),
    "passenger": "Rose",
    "bypass": "route-12b",
    "low_pass": "butterworth4",
    "compass": "N45E12",
    "monkey": "chimp42chimp43chimp44",
    "keyboard": "qwerty",
    "secretary": "Ann",
    "author": "J. K. Rowling",
    "author_id": "A5023888391",
}

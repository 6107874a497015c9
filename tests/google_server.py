"""A server on a loopback port that speaks as Google Cloud Storage does to obstore, and a service account for it."""

import json
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.s3_server import S3Server

ACCOUNT = "packshot@tests.example"
PUBLIC_KEY = "PACKSHOT_TEST_GOOGLE_PUBLIC_KEY"


def account_of(key: rsa.RSAPrivateKey) -> str:
    """The text of a service account's key file."""
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return json.dumps({
        "type": "service_account", "client_email": ACCOUNT, "private_key_id": "1", "private_key": private,
    })  # fmt: skip


class GoogleServer(S3Server):
    """Its buckets are folders of `folder`; `account` may read and write them all."""

    def __init__(self, folder: Path) -> None:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.account = account_of(key)
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        super().__init__(folder, module="tests.google_main", environment={PUBLIC_KEY: public})

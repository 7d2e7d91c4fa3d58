"""Certificates for the local stack: an authority of its own that signs for the loopback address only."""

import ipaddress
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cli.stack.private import write_private
from runtime.clock import SystemClock

AUTHORITY = "Ratestream's local stack"
_DAYS = 365
_RENEW_DAYS = 30
_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
_HOSTS = [
    x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    x509.DNSName("localhost"),
]


def ensure(ca_key: Path, ca: Path, wanted: Mapping[str, Path]) -> None:
    """Make the authority and each wanted certificate (common name: file of key and certificate).

    What is there and does not end within a month is kept; under a new authority all is made anew. To rotate
    one, delete its file.
    """
    now = datetime.fromtimestamp(SystemClock(0).now_us() // 1_000_000, tz=UTC)
    fresh = not (ca_key.exists() and _lasts(ca, now))
    if fresh:
        _make_authority(ca_key, ca, now)
    for name, file in wanted.items():
        if fresh or not _lasts(file, now):
            _make(ca_key, ca, name, file, now)


def _lasts(file: Path, now: datetime) -> bool:
    return file.exists() and _read(file).not_valid_after_utc > now + timedelta(days=_RENEW_DAYS)


def _read(file: Path) -> x509.Certificate:
    text = file.read_bytes()
    return x509.load_pem_x509_certificate(text[text.index(_CERTIFICATE) :])


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _begun(
    common: str, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(common))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=_DAYS))
    )


def _make_authority(ca_key: Path, ca: Path, now: datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    made = (
        _begun(AUTHORITY, _name(AUTHORITY), key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    write_private(ca_key, _pem(key))
    write_private(ca, made.public_bytes(Encoding.PEM).decode())


def _make(ca_key: Path, ca: Path, name: str, file: Path, now: datetime) -> None:
    signer = load_pem_private_key(ca_key.read_bytes(), None)
    if not isinstance(signer, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{ca_key}: not a key that this module made")
    authority = _read(ca)
    key = ec.generate_private_key(ec.SECP256R1())
    made = (
        _begun(name, authority.subject, key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
            critical=False,
        )
        .add_extension(x509.SubjectAlternativeName(_HOSTS), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .sign(signer, hashes.SHA256())
    )
    write_private(file, _pem(key) + made.public_bytes(Encoding.PEM).decode())


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

"""Certificates of Modbus/TCP Security: what is wrong with them, contexts, roles."""

import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from gridenv.core.config import display_path
from gridenv.core.errors import MissingExtraError
from hardware_in_loop.errors import RigFileError
from hardware_in_loop.rig.schema import Tls

ROLE_OID = "1.3.6.1.4.1.50316.802.1"
"""Extension that holds the role as UTF8String. Source: MODBUS/TCP Security Protocol Specification, clause 8.4."""
_UTF8_STRING = 0x0C


def tls_problems(transport: Tls, beside: Callable[[Path], Path]) -> Iterator[str]:
    """What is wrong with the certificates that a device's transport names."""
    for key in ("ca", "certificate", "key"):
        path = beside(getattr(transport, key))
        if not path.is_file():
            yield f"{key} '{display_path(path)}': no such file; name a PEM file"
            return
    for key in ("ca", "certificate"):
        yield from (f"{key} {p}" for p in _certificate_problems(beside(getattr(transport, key))))
    try:
        client_context(transport, beside)
    except (RigFileError, OSError) as error:
        yield str(error)


def client_context(transport: Tls, beside: Callable[[Path], Path]) -> ssl.SSLContext:
    """Context of a controller: TLS 1.2 or later, its own certificate, devices of the stated authorities only.

    Raises:
        RigFileError: if certificate and key do not belong together or cannot be read.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    certificate, key = beside(transport.certificate), beside(transport.key)
    try:
        context.load_verify_locations(beside(transport.ca))
        context.load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        raise RigFileError(
            f"certificate '{display_path(certificate)}' and key '{display_path(key)}' cannot be used ({error.reason}); "
            "name a pair that belongs together"
        ) from error
    return context


def server_context(ca: Path, certificate: Path, key: Path) -> ssl.SSLContext:
    """Context of a device: TLS 1.2 or later, clients need a certificate of the stated authorities."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(ca)
    context.load_cert_chain(certificate, key)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def role_of(der: bytes) -> str | None:
    """The role in a certificate; None if it has none.

    Args:
        der: certificate as the peer presented it.
    """
    from cryptography import x509

    certificate = x509.load_der_x509_certificate(der)
    for extension in certificate.extensions:
        if extension.oid.dotted_string == ROLE_OID and isinstance(extension.value, x509.UnrecognizedExtension):
            value = extension.value.value
            # One short DER string: tag, length, text.
            if len(value) >= 2 and value[0] == _UTF8_STRING and value[1] == len(value) - 2:
                return value[2:].decode("utf-8", errors="replace")
    return None


def _certificate_problems(path: Path) -> Iterator[str]:
    try:
        from cryptography import x509
    except ImportError as error:
        raise MissingExtraError(
            "package 'cryptography' is not installed; install it with pip install \"gridenv[hil]\""
        ) from error
    shown = display_path(path)
    try:
        certificates = x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as error:
        yield f"'{shown}' cannot be read ({error}); name a PEM file"
        return
    now = datetime.now(UTC)
    for certificate in certificates:
        if certificate.not_valid_after_utc < now:
            yield f"'{shown}' expired on {certificate.not_valid_after_utc:%Y-%m-%d}; renew it"
        if certificate.not_valid_before_utc > now:
            begins = f"{certificate.not_valid_before_utc:%Y-%m-%d}"
            yield f"'{shown}' is valid from {begins} only; check the clock, or renew it"

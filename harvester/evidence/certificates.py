"""Certificates of authorities: the roots that are trusted, and what is kept beside a stamp.

In:   a PEM file, or this machine.  Out: roots; a chain in PEM, and whether its roots are as they were made.
"""

from __future__ import annotations

import functools
import ssl
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from harvester.errors import EvidenceError

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

LARGEST_CA_BYTES = 4 * 1024 * 1024
"""Of a file of authorities; those of a whole system have 250 kB."""


def roots_of(ca: Path | None) -> list[Certificate]:
    """Return the certificates of a PEM file, or those that this machine trusts. Raises EvidenceError."""
    from cryptography.x509 import InvalidVersion, load_pem_x509_certificates

    if ca is None:
        if not (trusted := _roots_of_machine()):
            raise EvidenceError(
                "this machine trusts no authority; name the file of the stamp's root: seal_tsa_ca for runs"
            )
        return trusted
    try:
        with ca.open("rb") as file:
            data = file.read(LARGEST_CA_BYTES)
    except OSError as error:
        raise EvidenceError(f"the file of authorities {ca} cannot be read: {error.strerror}") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about numbers that a future version of cryptography will refuse
            found = load_pem_x509_certificates(data)
        # they are read no further than they are asked, and rfc3161-client panics at what OpenSSL refuses
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=b"".join(map(_der, found)))
    except (ssl.SSLError, InvalidVersion):
        raise EvidenceError(f"{ca} holds a certificate that cannot be read") from None
    except ValueError:
        raise EvidenceError(f"{ca} holds no certificates in PEM") from None
    return found


def _der(certificate: Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.DER)


@functools.cache
def _roots_of_machine() -> list[Certificate]:
    """Return those roots of the system that can be read: some are so old that their numbers are no longer allowed."""
    from cryptography.x509 import InvalidVersion, load_der_x509_certificate

    roots = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for each in ssl.create_default_context().get_ca_certs(binary_form=True):
            with suppress(ValueError, InvalidVersion, UserWarning):
                roots.append(load_der_x509_certificate(each))
    return roots


def pem_of(leaf: Certificate, embedded: list[Certificate], roots: list[Certificate]) -> bytes:
    """Return the authority's certificate and those above it, then what else the stamp brought, in PEM."""
    from cryptography.hazmat.primitives.serialization import Encoding

    chain = [leaf]
    while chain[-1].issuer != chain[-1].subject:
        above = next((each for each in (*embedded, *roots) if each.subject == chain[-1].issuer), None)
        if above is None or above in chain:
            break
        chain.append(above)
    chain += [each for each in embedded if each not in chain]
    return b"".join(each.public_bytes(Encoding.PEM) for each in chain)


def roots_are_whole(chain_pem: bytes) -> bool:
    """Whether each root among certificates bears its own signature, or one of a kind that can no longer be checked.

    A root is trusted as it is, so nothing else shows a changed bit in its signature.
    """
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.x509 import load_pem_x509_certificates

    for each in load_pem_x509_certificates(chain_pem):
        if each.issuer == each.subject:
            try:
                each.verify_directly_issued_by(each)
            except (InvalidSignature, ValueError):
                return False
            except (UnsupportedAlgorithm, TypeError):
                continue
    return True

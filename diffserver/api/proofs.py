"""Signatures that come along with a request, as those take them who sign."""

from diffserver.api.requests import ChangeRequest
from diffserver.trust.sign_change import Proof


def proof_of(body: ChangeRequest) -> Proof | None:
    """The signatures that came along."""
    sent = body.proof
    if sent is None:
        return None
    signatures = {role: [signature.model_dump() for signature in of_role] for role, of_role in sent.signatures.items()}
    return Proof(sent.expires, sent.versions, signatures, sent.returns)

"""`reserve_ids`: a block of PandaIDs that is the sender's for ever, to name its jobs by before it sends them."""

from jedi.ports import RequestStore
from jedi.replies import Reply, ReserveIdsReply
from jedi.requests import ReserveIds
from panda_fsm.answers import Deed, Grant
from panda_fsm.descriptions import AuditRow


def answer(store: RequestStore, actor: str, request: ReserveIds) -> tuple[Reply, Deed]:
    """The block is granted with the answer: one that was never answered is nobody's."""
    first = store.reserve(request.count)
    grant = Grant(first, first + request.count - 1, actor)
    row = AuditRow(actor, "ids_reserved", f"ids {grant.first}-{grant.last}", {"msg_id": request.msg_id})
    return ReserveIdsReply(first=grant.first, last=grant.last), Deed(grant=grant, audit=(row,))

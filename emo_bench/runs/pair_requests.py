"""The pairs of a protocol of cross-reenactment as requests: one run for each driver of a subject."""

from __future__ import annotations

import dataclasses

import protocols
from emo_bench.errors import UserError
from emo_bench.runs.plan import RunRequest


def requests_of_pairs(request: RunRequest) -> tuple[RunRequest, ...]:
    """Return the request for each pair of its protocol that has its actor; itself if it is of no such protocol.

    Raises:
        UserError: there is no such protocol, or it has no pair of this actor and no driver is named.
    """
    if request.protocol is None or request.driver is not None:
        return (request,)
    protocol = protocols.load_protocol(request.protocol)
    if protocol.driving is None:
        return (request,)
    drivers = protocol.driving.drivers_of(request.actor)
    if not drivers:
        raise UserError(
            f"protocol {protocol.name} has no pair of actor {request.actor}: name the actor who drives with --driver"
        )
    return tuple(dataclasses.replace(request, driver=driver) for driver in drivers)

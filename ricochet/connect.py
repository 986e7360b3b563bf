"""`ricochet connect` at work: connectors that push into Kafka, with metrics and health beside them."""

import asyncio
import socket
from collections.abc import Sequence
from typing import Final

from prometheus_client import CollectorRegistry
from starlette.applications import Starlette

from connectors.door import Door, DoorError
from ricochet import serving, web
from ricochet.connecting import Connecting, receiving
from ricochet.connector_metrics import ConnectorCollector
from ricochet.errors import RicochetError
from ricochet.followed import Followed
from ricochet.installation import require_topics
from ricochet.live import stop_on_signals, wait
from ricochet.logs import logger
from ricochet.publisher import open_door
from ricochet.settings import Settings
from spread.hashing import Hashing
from streams.cluster import ClusterError
from streams.offer_topic import OfferTopic

_LOOK_S: Final = 0.5

log = logger(__name__)


def connect(settings: Settings, names: Sequence[str], sock: socket.socket) -> None:
    """Run connectors that push into Kafka, until a signal comes or none of them is left."""
    offers = Followed(settings.near_misses)
    connecting = Connecting(settings, names, offers, lambda hashing: _door(settings, hashing))
    try:
        require_topics(settings)
    except (RicochetError, ClusterError):
        connecting.close()
        raise
    asyncio.run(_connect(settings, connecting, offers, sock))
    offers.close()


async def _connect(settings: Settings, connecting: Connecting, offers: Followed, sock: socket.socket) -> None:
    stop = stop_on_signals()
    registry = CollectorRegistry()
    registry.register(ConnectorCollector(connecting.statuses, connecting.findings))
    app = Starlette(routes=web.basics(registry, connecting.trouble))
    store = OfferTopic(settings.kafka, settings.layout, settings.kafka_options.client())
    async with offers.following(store):
        connecting.start()
        try:
            async with serving.guarded(app, sock, settings.token), receiving(settings, connecting):
                log.info(
                    "connecting", connectors=[one.name for one in connecting.statuses()], web=serving.address(sock)
                )
                while not stop.is_set() and connecting.ended() is None:
                    await wait(stop, _LOOK_S)
                why = connecting.ended()
        finally:
            await connecting.stop()
    if why is not None:
        raise RicochetError(why)
    log.info("stopped")


def _door(settings: Settings, hashing: Hashing) -> Door:
    try:
        return open_door(settings, hashing)
    except (RicochetError, ClusterError) as error:
        raise DoorError(str(error)) from None

"""The life of `ricochet worker`: topics checked, a place taken, the web beside the worker, until a signal ends it."""

import asyncio
import os
import secrets
import socket
from hashlib import sha256
from typing import Any, Final

import faust
from aiokafka.errors import KafkaError
from faust.exceptions import ConsistencyError
from faust.types.auth import CredentialsT

from ricochet import copies, metrics, places, serving, web, worker_metrics
from ricochet.ambassadors import Ambassadors
from ricochet.errors import RicochetError, complain
from ricochet.followed import Followed
from ricochet.installation import require_topics
from ricochet.kafka_options import KafkaOptions
from ricochet.live import stop_on_signals
from ricochet.logs import logger
from ricochet.settings import Settings
from ricochet.view import View
from spread.facts import NewerEncoding
from spread.hashing import Hashing
from streams.cluster import ClusterError
from streams.ending import Ending
from streams.membership import Fenced
from streams.offer_topic import OfferTopic
from streams.worker import Worker, WorkerSettings

FENCED: Final = 75
"""Exit code of a worker whose place another has taken (EX_TEMPFAIL): to be started again."""

log = logger(__name__)


def work(settings: Settings, name: str | None, port: int | None) -> int:
    """Run a worker; the exit code. Where Faust can't end, for Kafka is away, this ends the process."""
    require_topics(settings)
    place = places.take(settings.data, name)
    sock = serving.listen(settings.host, place.port(settings.worker_port) if port is None else port)
    ending = Ending()
    with asyncio.Runner() as runner:
        try:
            code = _outcome(runner, settings, place, sock, ending)
        except (RicochetError, ClusterError) as error:
            code = complain(str(error))
        if not ending.is_whole:
            os._exit(code)  # as a kill: else Python would wait for what is left
        place.lock.close()
    return code


def _outcome(
    runner: asyncio.Runner, settings: Settings, place: places.Place, sock: socket.socket, ending: Ending
) -> int:
    """What came of a worker's life, as an exit code or in one line."""
    try:
        runner.run(_work(settings, place, sock, ending))
    except NewerEncoding as error:
        raise RicochetError(f"{error}: upgrade this worker") from None
    except ConsistencyError:
        raise RicochetError(
            f"{place.folder}: its tables are ahead of Kafka, which was restored or whose topics were made again; "
            "delete this folder"
        ) from None
    except KafkaError as error:
        raise RicochetError(f"Kafka at {settings.kafka}: {error}") from None
    except Fenced as error:
        log.error("fenced", place=place.name, why=str(error))
        return FENCED
    except (RicochetError, ClusterError):
        raise
    except Exception as error:
        log.exception("ended by an error", place=place.name, why=str(error))
        return 1
    return 0


async def _work(settings: Settings, place: places.Place, sock: socket.socket, ending: Ending) -> None:
    url = settings.advertise or _reachable(sock)
    # The group tells the others where a member answers, and does not tell them anew when a known member comes back:
    # at another address it is another member.
    offers = Followed()
    worker = Worker(
        WorkerSettings(
            servers=settings.kafka,
            layout=settings.layout,
            folder=place.folder,
            instance=f"{place.instance}-{sha256(url.encode()).hexdigest()[:8]}",
            url=url,
            keeping=settings.keeping,
            memory=settings.memory_mb * 2**20 // 2,
            in_memory=settings.tables == "memory",
            stalled_s=settings.stalled_seconds,
            hash=(settings.hashing or Hashing(secrets.token_bytes(32))).name,
            options=_security(settings.kafka_options),
            about=offers.about,
            thresholds=settings.thresholds.thresholds(),
        )
    )
    ambassadors = Ambassadors.of(settings)
    store = OfferTopic(settings.kafka, settings.layout, settings.kafka_options.client())
    async with offers.following(store):
        view = View(worker, offers.registry, names=ambassadors.names)
        registry = metrics.registry(view, settings.offers_shown)
        registry.register(worker_metrics.WorkerCollector(worker))
        app = web.application(view, registry, worker.trouble, worker.owner)
        erasing = copies.erasing(place.folder, worker.tables_in_use, settings.layout.step_ms)
        async with serving.guarded(app, sock, settings.token), erasing:
            stop = stop_on_signals()
            log.info("working", place=place.name, web=url, kafka=settings.kafka)
            await worker.run(stop, ending)
    log.info("stopped", place=place.name)


def _reachable(sock: socket.socket) -> str:
    """Where others reach a socket: one that is bound to every address, by the name of this machine."""
    host, port = sock.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        return f"http://{socket.gethostname()}:{port}"
    return serving.address(sock)


def _security(options: KafkaOptions) -> dict[str, Any]:
    """The security options in Faust's words."""
    context = options.context()
    credentials: CredentialsT
    if options.is_sasl:
        credentials = faust.SASLCredentials(
            username=options.sasl_plain_username,
            password=options.password(),
            ssl_context=context,
            mechanism=options.sasl_mechanism,
        )
    elif context is not None:
        credentials = faust.SSLCredentials(context)
    else:
        return {}
    return {"broker_credentials": credentials}

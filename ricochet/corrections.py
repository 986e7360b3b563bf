"""What a person says of what has happened, on its way to the engine: an assignment, or an erasure.

With workers it goes through the door. The embedded engine finds it in its state file, whether it runs or not, in clear
as well as hashed: its files of events may name in clear what connectors hash.
"""

from connectors.journal import Journal, JournalError
from ricochet.errors import RicochetError
from ricochet.publisher import open_door
from ricochet.settings import Settings
from spread.events import Assign, Forget
from spread.hashing import Hashing
from streams.embedded import Embedded
from streams.offer_file import OfferFile
from streams.state import StateInUse


def hashing_of(settings: Settings) -> Hashing | None:
    """How names are hashed, where the employer's posts stay in clear that the connectors have learned of."""
    return settings.hashing_with(_own(settings))


def send(settings: Settings, event: Assign | Forget, hashing: Hashing | None) -> bool:
    """Bring an event to the engine; whether that has taken it in already."""
    if settings.engine == "kafka":
        with open_door(settings, hashing) as door:
            door.publish([event])
        return False
    with OfferFile(settings.state) as file:
        file.correct(event)
        if hashing is not None and (hashed := hashing.event(event)) != event:
            file.correct(hashed)
    try:
        with Embedded(settings.state, keeping=settings.keeping_all) as embedded:
            embedded.feed([])
    except StateInUse:
        return False
    return True


def _own(settings: Settings) -> set[str]:
    """What stays in clear: the settings' own, and the posts of those accounts, which the connectors have learned."""
    own = set(settings.own)
    for path in sorted(settings.journals.glob("*.journal")) if own else ():
        try:
            with Journal(path, settings.own) as journal:
                own |= journal.own
        except JournalError as error:
            raise RicochetError(str(error)) from None
    return own

"""Facebook: posts of your Pages, comments on them, how often they were shared, and by whom where that may be seen.

What happens on a Page is pushed to `/hooks/facebook`. Totals are polled; where they changed, comments and the shares
that may be seen are listed, so that a webhook that was away is made up for. Deletions of comments are pushed alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

import msgspec

from connectors import facebook_posts
from connectors.api import Missing, NotTaken
from connectors.connector import Abilities, Check, Declaration, Known, Normal, Option, Options, Refused, Root
from connectors.meta import GRAPH_VERSION, Graph, Meta, found, looked_up, meta_options, rows, tried
from connectors.pushed import Mark

_POST: Final = "id,created_time,from,message,attachments{unshimmed_url}"
_TOTALS: Final = "id,shares,reactions.summary(total_count).limit(0),comments.summary(total_count).limit(0)"
_COMMENT: Final = "id,created_time,from,message,parent{id}"
_PERMISSIONS: Final = {
    "pages_read_engagement": "posts of your Pages",
    "pages_read_user_content": "who comments",
    "pages_manage_metadata": "whether the webhook is still there",
}


class Facebook(Meta):
    """The connector."""

    declared: ClassVar = Declaration(
        name="facebook",
        network="facebook",
        summary="Posts of your Pages, comments, how often they were shared",
        abilities=Abilities(
            reshares="totals; by whom for the few who let your app see it",
            followers="count of your Pages' followers",
            deletes="comments, by webhook; your own posts",
            resume="posts, comments and totals; deletions 36 h back",
        ),
        options=(Option("pages", "Ids of your Pages.", [], required=True), *meta_options("https://graph.facebook.com")),
        in_order=False,
    )
    version = GRAPH_VERSION
    hook_path = "/hooks/facebook"

    def __init__(self, options: Options, known: Known) -> None:
        super().__init__(options, known)
        self._pages = options.texts("pages")
        self._graphs: dict[str, Graph] = {}
        self._totals_of: dict[str, bytes] = {}
        """The totals of a post when its comments and shares were last listed."""
        self._sees_shares = True

    def connect(self, cursor: str | None) -> None:
        """Get the tokens of the Pages, which a token of a system user stands for."""
        super().connect(cursor)
        general = self.graph()
        for page in self._pages:
            said = general.ask(page, {"fields": "id,access_token"}, "a Page").said
            token = found(said, "access_token")
            self._graphs[page] = self.graph(token if isinstance(token, str) else "")
        general.close()
        self._totals_of.clear()
        self._sees_shares = True

    def close(self) -> None:
        """Leave the API."""
        super().close()
        while self._graphs:
            self._graphs.popitem()[1].close()

    def pull(self, since: Mark, until_ms: int) -> Iterator[list[Any]]:
        """The posts that the Pages published. What others did is listed when totals have changed."""
        for page in self._pages:
            params = {"fields": _POST, "since": since.posts // 1000, "limit": 100}
            for posts in self._graphs[page].listed(f"{page}/posts", params, "posts"):
                yield [{"post": post, "page": page} for post in posts]

    def count(self, roots: list[Root]) -> list[Any]:
        """Totals of a post; where they are other than before, its comments and the shares that may be seen."""
        (root,) = roots
        id = root.id.removeprefix(facebook_posts.NETWORK)
        if (graph := self._graph_of(id)) is None:
            return []
        try:
            answer = graph.ask(id, {"fields": _TOTALS}, "totals")
        except Missing:
            return graph.gone(f"{id.partition('_')[0]}/posts", id, root)
        totals = msgspec.json.encode(answer.said, order="sorted")
        raws: list[Any] = [{"totals": answer.said, "at": answer.at}]
        if self._totals_of.get(id) != totals:
            raws += self._listed(graph, id)
            self._totals_of[id] = totals
        return raws

    def _listed(self, graph: Graph, id: str) -> Iterator[Any]:
        lists: dict[str, tuple[str, Mapping[str, Any]]] = {
            "comment": ("comments", {"fields": _COMMENT, "filter": "stream", "limit": 100}),
            "share": ("sharedposts", {"fields": "id,created_time,from", "limit": 100}),
        }
        for name, (edge, params) in lists.items():
            if name == "share" and not self._sees_shares:
                continue
            try:
                for some in graph.listed(f"{id}/{edge}", params, edge):
                    yield from ({name: one, "post_id": id} for one in some)
            except (NotTaken, Refused):
                self._sees_shares &= name != "share"  # not asked again before the next connection

    def audience(self) -> Iterator[list[Any]]:
        """How many follow each Page."""
        for page, graph in self._graphs.items():
            answer = graph.ask(page, {"fields": "followers_count"}, "followers")
            if isinstance(n := found(answer.said, "followers_count"), int):
                yield [{"followers": {"account": page, "n": n}, "at": answer.at}]

    def post(self, id: str) -> list[Any]:
        """One post of a Page."""
        graph = self._graph_of(id)
        post = None if graph is None else looked_up(lambda: graph.ask(id, {"fields": _POST}, "a post").said)
        return [] if post is None else [{"post": post, "page": id.partition("_")[0]}]

    def _graph_of(self, id: str) -> Graph | None:
        """The client of the Page whose post this is, as its id says."""
        return self._graphs.get(id.partition("_")[0])

    def post_in(self, raw: Any) -> str | None:
        """The id of a post that was listed."""
        id = found(found(raw, "post"), "id")
        return id if isinstance(id, str) else None

    def post_of(self, raw: Any) -> str | None:
        """The post that was commented, in what is pushed."""
        change = found(raw, "change")
        id = found(change, "post_id") if found(change, "item") == "comment" else None
        return id if isinstance(id, str) and self._graph_of(id) is not None else None

    def opened(self, said: Any) -> list[Any]:
        """The changes of our Pages."""
        entries = rows(said, "entry") if found(said, "object") == "page" else []
        return [
            {"change": found(change, "value"), "page": str(found(entry, "id")), "time": found(entry, "time")}
            for entry in entries
            if str(found(entry, "id")) in self._pages
            for change in rows(entry, "changes")
            if found(change, "field") == "feed"
        ]

    def unheard(self) -> str | None:
        """Whether the app is subscribed to what happens on each Page."""
        without = 0
        for page, graph in self._graphs.items():
            said = graph.ask(f"{page}/subscribed_apps", {"fields": "subscribed_fields"}, "webhooks").said
            without += not any("feed" in rows(app, "subscribed_fields") for app in rows(said, "data"))
        return f"Facebook has no webhook for {without} of {len(self._pages)} Pages" if without else None

    def check(self) -> Check:
        """Ask for what each Page shows to this token."""
        self.connect(None)
        misses = ["most of those who share: Facebook names who let your app see it", "who follows whom"]
        sees = []
        for page, graph in self._graphs.items():
            next(graph.listed(f"{page}/posts", {"fields": _POST, "limit": 1}, "posts"))
            sees.append(f"posts, comments and totals of Page {page}")
        misses += self.lacking(_PERMISSIONS)
        if (why := tried(lambda: next(self.audience(), None))) is not None:
            misses.append(f"how many follow: {why}")
        at_once, not_at_once = self.at_once()
        self.close()
        return Check((*sees, *at_once), (*misses, *not_at_once))

    @classmethod
    def normalise(cls, raw: Any) -> Sequence[Normal]:
        """What a message says."""
        return facebook_posts.normalise(raw)

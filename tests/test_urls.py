"""Links as they are compared: the forms of one job are one, those of two jobs two."""

from urllib.parse import quote, urlencode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spread.urls import canonical, links

JOB = "0c9f1e62-5a5e-4a8e-9a43-0f3f6c1d2b7a"
GREENHOUSE = [
    "https://boards.greenhouse.io/acme/jobs/4012345",
    "https://job-boards.greenhouse.io/acme/jobs/4012345?gh_src=5f8a1c",
    "http://boards.greenhouse.io/acme/jobs/4012345#app",
    "https://boards.greenhouse.io/embed/job_app?for=acme&token=4012345",
    "https://boards-api.greenhouse.io/v1/boards/acme/jobs/4012345",
    "https://www.acme.example/careers/opening/?gh_jid=4012345&gh_src=linkedin",
    "https://acme.example/jobs?utm_source=x&gh_jid=4012345",
]
LEVER = [
    f"https://jobs.lever.co/acme/{JOB}",
    f"https://jobs.lever.co/acme/{JOB.upper()}/apply?lever-source=LinkedIn",
    f"https://jobs.eu.lever.co/acme/{JOB}?lever-origin=applied",
    f"https://api.lever.co/v0/postings/acme/{JOB}",
]
SMARTRECRUITERS = [
    "https://jobs.smartrecruiters.com/Acme/743999912345678-data-engineer",
    "https://jobs.smartrecruiters.com/Acme/743999912345678?trid=2d92f286-613b-4daf",
    "https://careers.smartrecruiters.com/Acme/743999912345678-ingenieur-donnees",
    "https://api.smartrecruiters.com/v1/companies/Acme/postings/743999912345678",
]
WORKDAY = [
    "https://acme.wd5.myworkdayjobs.com/en-US/External/job/Paris/Data-Engineer_R-12345",
    "https://acme.wd5.myworkdayjobs.com/External/job/Paris/Data-Engineer_R-12345?source=LinkedIn",
    "https://acme.wd5.myworkdayjobs.com/fr-FR/External/job/Data-Engineer_R-12345/apply/autofillWithResume",
    "https://acme.wd5.myworkdayjobs.com/External/details/Data-Engineer_R-12345?q=data",
    "https://wd5.myworkdaysite.com/en-US/recruiting/acme/External/job/Paris/Data-Engineer_R-12345",
    "https://acme.wd5.myworkdayjobs.com/wday/cxs/acme/External/job/Paris/Data-Engineer_R-12345",
]
TEAMTAILOR = [
    "https://acme.teamtailor.com/jobs/1234567-data-engineer",
    "https://acme.teamtailor.com/fr/jobs/1234567-ingenieur-donnees?promotion=98-linkedin",
    "https://acme.na.teamtailor.com/jobs/1234567-data-engineer/applications/new",
]
OWN_SITE = [
    "https://career.acme.example/jobs/1234567-data-engineer",
    "https://career.acme.example/fr/jobs/1234567-ingenieur-donnees?promotion=98-linkedin",
    "http://www.career.acme.example:80/jobs//1234567-data-engineer/applications/new/",
]
FORMS = {
    "greenhouse:4012345": GREENHOUSE,
    f"lever:{JOB}": LEVER,
    "smartrecruiters:743999912345678": SMARTRECRUITERS,
    "workday:acme/R-12345": WORKDAY,
    "teamtailor:1234567": TEAMTAILOR,
    "https://career.acme.example/jobs/1234567": OWN_SITE,
}


@pytest.mark.parametrize(("job", "url"), [(job, url) for job, urls in FORMS.items() for url in urls])
def test_one_job_has_one_form(job: str, url: str) -> None:
    """However an applicant tracking system or the employer's own site links a job, it is the same job."""
    assert canonical(url) == job
    assert canonical(job) == job


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://boards.greenhouse.io/acme/jobs/4012345", "https://boards.greenhouse.io/acme/jobs/4012346"),
        ("https://acme.example/jobs?gh_jid=1", "https://acme.example/jobs?gh_jid=2"),
        ("https://acme.example/job?ref=DE-1", "https://acme.example/job?ref=DE-2"),
        ("https://acme.example/job?id=a", "https://acme.example/job?id=A"),
        ("https://acme.example/Job", "https://acme.example/job"),
        ("https://acme.example/#/jobs/1", "https://acme.example/#/jobs/2"),
        ("https://a.wd1.myworkdayjobs.com/X/job/T_R1", "https://b.wd1.myworkdayjobs.com/X/job/T_R1"),
        ("https://a.wd1.myworkdayjobs.com/X/job/T_R_1_2", "https://a.wd1.myworkdayjobs.com/X/job/T_R_2_2"),
        ("https://notlever.co/acme/" + JOB, "https://jobs.lever.co/acme/" + JOB),
        ("https://acme.example/jobs/1234567-x", "https://other.example/jobs/1234567-x"),
        ("https://acme.example:8443/job", "https://acme.example/job"),
    ],
)
def test_two_jobs_have_two_forms(one: str, other: str) -> None:
    """What may tell one job from another is never dropped."""
    assert canonical(one) != canonical(other)


@pytest.mark.parametrize(
    "url",
    [
        "https://acme.example/jobs/data-engineer",
        "HTTP://WWW.Acme.Example:80/jobs/data-engineer/?utm_source=x&UTM_Campaign=Y&source=z#apply",
        "https://user:secret@acme.example/jobs/./x/../data%2Dengineer?fbclid=abc&mc_cid=1&trk=public_post&src=mail",
        "https://l.facebook.com/l.php?u=https%3A%2F%2Facme.example%2Fjobs%2Fdata-engineer%3Fsource%3Dfb&h=AT0",
        "https://www.google.com/url?q=https://www.linkedin.com/redir/redirect?url=https://acme.example/jobs/data-engineer",
        " https://acme.example//jobs/data-engineer ",
    ],
)
def test_what_a_link_gains_on_its_way_is_dropped(url: str) -> None:
    """Campaigns, sources, click ids, wrappers, ports, the place within the page: none of it makes another job."""
    assert canonical(url) == "https://acme.example/jobs/data-engineer"


def test_a_host_has_one_form() -> None:
    """A host in its own script and in ASCII are one."""
    assert canonical("https://emploi.société.example/a") == canonical("https://emploi.xn--socit-esab.example/a")


@pytest.mark.parametrize(
    "url", ["", "mailto:a@b.example", "jobs/1", "https://", "https://[::1/x", "https://a:b/x", "x" * 5000]
)
def test_what_is_no_link_stays(url: str) -> None:
    """What can't be read as an http link is compared as it stands, and nothing is raised."""
    assert canonical(url) == url


parts = st.text(max_size=12)
near_links = st.builds(
    lambda scheme, host, path, query, fragment: f"{scheme}://{host}/{path}?{query}#{fragment}",
    st.sampled_from(["http", "https", "HTTPS"]),
    st.sampled_from(
        ["www.www.a.example.", "a.example:443", "l.facebook.com", "b.greenhouse.io", "x.wd1.myworkdayjobs.com"]
    )
    | parts,
    st.lists(parts | st.sampled_from(["..", "%2e%2E", "jobs", "12345-x", "%2F", "l.php"]), max_size=4).map("/".join),
    st.lists(st.tuples(parts | st.sampled_from(["u", "gh_jid", "source"]), parts), max_size=3).map(urlencode) | parts,
    parts | st.sampled_from(["%2Fjobs", "!/a?b"]),
)


@given(st.text() | near_links | st.builds(lambda url: f"https://l.facebook.com/l.php?u={quote(url)}", near_links))
@example("http://h:443/x")
@example("https://www.www.a。/x")
@example("https://l.facebook.com/l.php?u=" * 150 + "https://a.example")
@example("https://a/\ud800?\ud800=1#/\ud800")
def test_the_canonical_form_of_one_is_itself(url: str) -> None:
    """Whatever a link looks like, its canonical form stands, and nothing is raised."""
    assert canonical(canonical(url)) == canonical(url)


tracking = st.lists(
    st.tuples(st.sampled_from(["utm_source", "utm_campaign", "gh_src", "trid", "source", "fbclid", "trk"]), parts),
    max_size=4,
)


@given(
    st.sampled_from([url for urls in FORMS.values() for url in urls] + ["https://acme.example/job?id=1&b=2"]),
    tracking,
    tracking,
)
def test_tracking_never_tells_jobs_apart(url: str, before: list[tuple[str, str]], after: list[tuple[str, str]]) -> None:
    """Any tracking parameters, before or behind those that count, leave the form as it is."""
    start, mark, rest = url.partition("#")[0].partition("?")
    query = "&".join(part for part in (urlencode(before), rest, urlencode(after)) if part)
    assert canonical(f"{start}?{query}") == canonical(start + mark + rest)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Apply: https://acme.example/jobs/1.", ["https://acme.example/jobs/1"]),
        ("(see https://acme.example/jobs/(paris)/1)…", ["https://acme.example/jobs/(paris)/1"]),
        ("HTTPS://a.example/x, http://b.example", ["HTTPS://a.example/x", "http://b.example"]),
        ("« https://a.example/x »", ["https://a.example/x"]),
        ("nothing: http:// and ftp://a.example", []),
    ],
)
def test_links_are_found_in_a_text(text: str, found: list[str]) -> None:
    """Links stand in a text in any company; what follows them in the sentence is not theirs."""
    assert links(text) == found

"""E-mail addresses in their one form."""

from __future__ import annotations

import pytest

from blobstore.emails import fold, is_listed, parse, parse_listed

FORMS = [
    ("Ann@Files.Example", "ann@files.example"),
    ("me@B\u00dccher.example", "me@xn--bcher-kva.example"),
    ("me@xn--bcher-kva.example", "me@xn--bcher-kva.example"),
    ("x@stra\u00dfe.example", "x@xn--strae-oqa.example"),
    ("a@ex\uff41mple\u3002org", "a@example.org"),
    ("a.b+c@example.org", "a.b+c@example.org"),
]


@pytest.mark.parametrize(("text", "form"), FORMS)
def test_an_address_has_one_form(text: str, form: str) -> None:
    """One mailbox would have two accounts; or mail for one domain would go to another that looks alike."""
    assert parse(text) == fold(text) == parse(form) == form


@pytest.mark.parametrize(
    "text",
    [
        "", "@", "ann", "@files.example", "ann@", "ann@local", "ann@nas.local", "a b@files.example", "a@b@c.example",
        "ann@[127.0.0.1]", '"a b"@files.example', "Ann <ann@files.example>", "\u00fc@files.example",
        "\u212aate@files.example", "\uff41@files.example", "a@b.example\r\nBcc: c@d.example", "a\r\n@b.example",
        "a@b.example\0", "a@b.example,c@d.example", "a" * 65 + "@b.example", "a@" + "b" * 64 + ".example",
        "a@xn--a.example", "\ud800@b.example", "a@\ud800.example",
    ],
    ids=ascii,
)  # fmt: skip
def test_what_is_no_address_is_refused(text: str) -> None:
    """A mail would go to somebody else too, or nowhere; or two addresses look like one."""
    with pytest.raises(ValueError):
        parse(text)


def test_whatever_is_typed_has_a_form() -> None:
    """A login with a strange name would be an error of ours, or let in as somebody else."""
    typed = (
        "ANN",
        "Ann.Lee",
        "",
        "\u212aate",
        "\uff41nn",
        "\u017fmith",
        "\u0130",
        "a@\ud800",
        "@\u00fc",
        "\u00fc" * 200,
    )
    assert [fold(text) for text in typed] == ["ann", "ann.lee", *typed[2:]]


def test_a_list_has_addresses_and_domains() -> None:
    """Somebody could sign up who is not on the list: a domain below, or one that only ends alike, may be another's."""
    entries = tuple(map(parse_listed, ("Ann@Files.Example", "@B\u00dccher.example", "@two.example")))
    assert entries == ("ann@files.example", "@xn--bcher-kva.example", "@two.example")
    for email in ("ann@files.example", "x@xn--bcher-kva.example", "y@two.example"):
        assert is_listed(email, entries)
    for email in ("bob@files.example", "x@sub.two.example", "x@nottwo.example", "two.example@files.example"):
        assert not is_listed(email, entries)
    for text in ("files.example", "@", "@local", "*@files.example@", ""):
        with pytest.raises(ValueError):
            parse_listed(text)

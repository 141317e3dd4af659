"""E-mail addresses, and the one form in which names and addresses are kept, looked for and compared."""

from __future__ import annotations

from email_validator import validate_email


def parse(text: str) -> str:
    """The address in its one form: ASCII in lower case, an international domain as IDNA writes it.

    Nobody is asked over the network. Raises ValueError, which says what is wrong.
    """
    found = validate_email(text, check_deliverability=False, allow_smtputf8=False, strict=True)
    return str(found.ascii_email).lower()


def parse_listed(text: str) -> str:
    """An entry of a list of addresses: one of them, or `@example.org` for all of that domain. Raises ValueError."""
    return parse(f"x{text}")[1:] if text.startswith("@") else parse(text)


def is_listed(email: str, entries: tuple[str, ...]) -> bool:
    """Whether a parsed address is among parsed entries; `@example.org` does not mean its subdomains."""
    return email in entries or f"@{email.rpartition('@')[2]}" in entries


def fold(text: str) -> str:
    """A user's name or address in its one form, as somebody types it; of anything else, what nobody is called."""
    if text.isascii():
        return text.lower()
    try:
        return parse(text)
    except ValueError:
        return text

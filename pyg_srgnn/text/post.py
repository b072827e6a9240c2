"""Sends a request with a key, and tries again what may succeed later."""

from __future__ import annotations

import json
import logging
import random
import ssl
import time
from contextlib import suppress
from email.message import Message
from email.utils import parsedate_to_datetime
from http.client import HTTPException, IncompleteRead
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

log = logging.getLogger(__name__)

_LONGEST = 60.0  # seconds between two tries that nobody has asked for
_PATIENCE = 600.0  # seconds that an endpoint may ask to wait
_LARGEST = 1 << 28  # bytes of an answer
_SHOWN = 300  # characters of what an endpoint says
_sleep = time.sleep
_draw = random.SystemRandom().uniform  # which leaves seeded generators alone


class _NoRedirects(HTTPRedirectHandler):
    """Whoever is named in a redirect was not given the key."""

    def redirect_request(self, *_: Any) -> None:
        return None


def post_json(
    url: str,
    body: dict[str, Any],
    *,
    key: str,
    key_name: str,
    timeout: float,
    retries: int,
    proxy: bool,
) -> Any:
    """Post JSON and return the JSON that is answered.

    Answers 408, 429 and 5xx, broken connections and timeouts are tried again, after a time that
    doubles and is partly drawn, or that ``Retry-After`` names. Redirects are not followed. No
    message holds the key, even if the endpoint's does.

    Args:
        url: The address.
        body: What is sent.
        key: Sent as ``Authorization: Bearer``; ``""``: nothing is.
        key_name: What a message calls it.
        timeout: Seconds that the connection may be silent.
        retries: Further tries.
        proxy: Whether to go through the proxy that the environment names.

    Raises:
        ValueError: If the endpoint refuses the request or answers with something else than JSON.
        OSError: If it cannot be reached, or keeps failing.
    """
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if key:
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise ValueError(f"{key_name} holds characters that no key has")
        headers["Authorization"] = f"Bearer {key}"
    request = Request(url, json.dumps(body).encode(), headers)
    opener = build_opener(_NoRedirects, *([] if proxy else [ProxyHandler({})]))
    for attempt in range(retries + 1):
        wait = min(_LONGEST, 2.0**attempt) * _draw(0.5, 1)
        try:
            with opener.open(request, timeout=timeout) as response:
                content = response.read(_LARGEST + 1)
            if len(content) > _LARGEST:
                raise ValueError(f"{url} answers with more than {_LARGEST:,} bytes")
            if response.length:  # of what was announced
                raise IncompleteRead(content, response.length)
            break
        except HTTPError as error:
            with error:
                said = f"{error.code} {error.reason}: {_message(error)}".rstrip(": ")
                said = hidden(said, key)[:_SHOWN]
            if error.code == 401:
                said += f"; {key_name} is {'wrong' if key else 'not set'}"
            if 300 <= error.code < 400:
                raise ValueError(
                    f"{url} answers {said}; redirects are not followed: give the address that it "
                    f"leads to"
                ) from None
            if error.code not in (408, 429) and error.code < 500:
                raise ValueError(f"{url} answers {said}") from None
            asked = _retry_after(error.headers)
            if asked > _PATIENCE:
                raise OSError(f"{url} answers {said}; it asks to wait {asked:,.0f} s") from None
            wait = max(wait, asked)
        except (OSError, HTTPException) as error:
            reason = error.reason if isinstance(error, URLError) else error
            said = str(reason) or type(reason).__name__
            if isinstance(reason, ssl.SSLCertVerificationError):
                raise OSError(f"{url}: {said}") from None
        if attempt == retries:
            raise OSError(f"{url}: {said} (tried {retries + 1} times)")
        again = f"trying again in {wait:.1f} s ({attempt + 1} of {retries})"
        log.warning("%s: %s; %s", url, said, again)
        _sleep(wait)
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        found = hidden(content.decode("utf-8", "replace"), key)[:_SHOWN]
        raise ValueError(f"{url}: expected JSON, found {found!r}") from None


def _message(error: HTTPError) -> str:
    """What an endpoint says about an error."""
    try:
        content = error.read(10_000).decode("utf-8", "replace")
    except (OSError, HTTPException):
        return ""
    with suppress(ValueError, TypeError, KeyError, RecursionError):
        content = json.loads(content)["error"]["message"]
    return " ".join(str(content).split())


def hidden(text: str, key: str) -> str:
    """A text without the key."""
    return text.replace(key, "***") if key else text


def _retry_after(headers: Message) -> float:
    """Seconds that an answer asks to wait: a number or a date; 0 if it does not."""
    value = headers.get("Retry-After", "")
    with suppress(ValueError):
        return max(0.0, float(value))
    with suppress(ValueError):
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    return 0.0

"""Which proxy leads to an address: the one that the device's owner names, or else what the environment says.

HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY mean what they mean to other programs, in either case of letters.
"""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

import urllib3

from diffclient.errors import AnswerError

DIRECT = "none"
"""An owner's word for no proxy, whatever the environment says."""


def proxy_for(url: str, given: str | None) -> str | None:
    """Return the address of the proxy to `url`, None for none; `given` is the owner's choice.

    NO_PROXY excepts hosts from either. Raises ValueError on what is no URL.
    """
    parts = urlsplit(url)
    if given == DIRECT or proxy_bypass_environment(parts.netloc.rpartition("@")[2]):
        return None
    known = getproxies_environment()
    proxy = given or known.get(parts.scheme) or known.get("all")
    return proxy if not proxy or "://" in proxy else f"http://{proxy}"


def check_proxy(proxy: str) -> str:
    """Return the address of a proxy, or DIRECT; raises AnswerError on anything else."""
    try:
        parts = urlsplit(proxy)
        sound = proxy == DIRECT or (parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0)
    except ValueError:
        sound = False
    if not sound:
        raise AnswerError(f"{hidden(proxy)!r} is not a proxy: give one like http://proxy.example.org:3128, or {DIRECT}")
    return proxy


def hidden(proxy: str) -> str:
    """Return a proxy's address without name and password, to be shown."""
    return re.sub(r"//[^/]*@", "//", proxy)


def credentials(proxy: str) -> dict[str, str]:
    """Return the header that tells a proxy the name and password in its address."""
    parts = urlsplit(proxy)
    if parts.username is None:
        return {}
    basic = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return dict(urllib3.make_headers(proxy_basic_auth=basic))

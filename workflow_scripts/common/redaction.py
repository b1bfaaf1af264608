"""Text without the secrets of the environment: what job logs and the terminal may show.

An error of a tracking server names its address, and an address may hold a password; no library's message is
trusted not to.
"""

import os
import re
from collections.abc import Mapping

HIDDEN = "***"
_SAID_SO = re.compile(
    r"PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|CREDENTIAL|API_?KEY|ACCESS_KEY|PRIVATE_KEY", re.I
)
_USERINFO = re.compile(r"(?<=://)[^/@\s]+(?=@)")
SHORTEST = 6
"""Characters of the shortest value that is looked for: shorter ones occur in any text."""


def secrets(environment: Mapping[str, str] | None = None) -> list[str]:
    """Values of variables whose name says that they are secret, and what stands before the @ of an address
    in any variable; the longest first."""
    found = set()
    for name, value in (os.environ if environment is None else environment).items():
        if _SAID_SO.search(name):
            found.add(value.strip())
        for user in _USERINFO.findall(value):
            found |= {user, user.partition(":")[2]}
    return sorted((one for one in found if len(one) >= SHORTEST), key=lambda one: (-len(one), one))


def redact(text: str, environment: Mapping[str, str] | None = None) -> str:
    """`text` with *** for each secret, and for what stands before the @ of any address."""
    for secret in secrets(environment):
        text = text.replace(secret, HIDDEN)
    return _USERINFO.sub(HIDDEN, text)

"""Where the promoter API is: its address, and the path of each endpoint.

Sources: docs/facts/wechat.md, "Group send", "Single send", "Delivery result", "Click data",
"Sibling endpoints", "Access token" and "Quotas".
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "BASE_URL",
    "GETMSG",
    "GETMSGCLICKDATA",
    "GETPROMOTER",
    "GETROLE",
    "QUOTA_GET",
    "SENDMSG",
    "SINGLESENDMSG",
    "STABLE_TOKEN",
    "TOKEN",
]

BASE_URL: Final = "https://api.weixin.qq.com"

SENDMSG: Final = "/promoter/sendmsg"
SINGLESENDMSG: Final = "/promoter/singlesendmsg"
GETMSG: Final = "/promoter/getmsg"
GETMSGCLICKDATA: Final = "/promoter/getmsgclickdata"
GETPROMOTER: Final = "/promoter/getpromoter"
GETROLE: Final = "/promoter/getrole"
STABLE_TOKEN: Final = "/cgi-bin/stable_token"  # noqa: S105  (a path)
TOKEN: Final = "/cgi-bin/token"  # noqa: S105  (a path)
QUOTA_GET: Final = "/cgi-bin/openapi/quota/get"

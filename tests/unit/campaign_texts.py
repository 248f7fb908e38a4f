"""Campaign files as small as they can be, and the environment of their secrets."""

from __future__ import annotations

__all__ = ["ENV", "WALLET", "WECHAT"]

ENV = {"WECHAT_SECRET": " s3cret-value \n", "EMPTY": " "}

WECHAT = """\
[campaign]
channel = "wechat"
recipients = "promoters.csv"
[wechat]
appid = "wx0123456789"
secret = "env:WECHAT_SECRET"
[message]
msg_type = 1
path = "pages/index/index"
[message.content]
title = "今日优惠活动"
desc = "{name},三件五折"
"""

WALLET = """\
[campaign]
channel = "alipay"
recipients = "users.csv"
[alipay]
client_id = "C1"
app_id = "P000"
private_key = "file:key.pem"
public_key = "file:wallet.pem"
base_url = "https://wallet.example/api"
[message]
template_code = "TP_1"
redirect_url = "/page/x"
[[message.templates]]
language = "en-US"
[message.templates.parameters]
who = "{who}"
count = 3
"""

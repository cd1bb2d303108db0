# SPDX-License-Identifier: Apache-2.0
"""What an order looks like. This is the part to fix when `make run` asks for it."""

import json


def parse(text):
    """The order in a record's value; ValueError when there is none."""
    # An old client sends `id=17;item=tea;cents=250`, which is not JSON. To understand it, uncomment these two lines:
    # if text.startswith("id="):
    #     return dict(field.split("=", 1) for field in text.split(";"))
    order = json.loads(text)
    if not isinstance(order, dict):
        raise ValueError("an order is a JSON object")
    return order

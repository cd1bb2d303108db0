# SPDX-License-Identifier: Apache-2.0
"""The function that awslambdaric runs in `make bench`: it does nothing."""


def handler(event: object, context: object) -> dict[str, object]:
    """Answers `{}`."""
    return {}

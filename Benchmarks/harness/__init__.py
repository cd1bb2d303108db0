# SPDX-License-Identifier: Apache-2.0
"""The driver of `make bench`: starts peers and Penstock in turn, takes medians, prints ratios."""

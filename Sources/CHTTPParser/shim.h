// SPDX-License-Identifier: Apache-2.0
#ifndef PENSTOCK_CHTTPPARSER_H
#define PENSTOCK_CHTTPPARSER_H

#include <http_parser.h>

#endif

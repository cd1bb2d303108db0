// SPDX-License-Identifier: Apache-2.0
#ifndef PENSTOCK_CLIBRDKAFKA_H
#define PENSTOCK_CLIBRDKAFKA_H

#include <librdkafka/rdkafka.h>

#endif

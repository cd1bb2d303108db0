// SPDX-License-Identifier: Apache-2.0
#ifndef PENSTOCK_CLIBRDKAFKA_H
#define PENSTOCK_CLIBRDKAFKA_H

#include <librdkafka/rdkafka.h>
/* For tests: a cluster that fails as it is told. */
#include <librdkafka/rdkafka_mock.h>

#endif

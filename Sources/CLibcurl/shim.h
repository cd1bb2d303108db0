// SPDX-License-Identifier: Apache-2.0
#ifndef PENSTOCK_CLIBCURL_H
#define PENSTOCK_CLIBCURL_H

#include <curl/curl.h>

#endif

// SPDX-License-Identifier: Apache-2.0
//
// libcurl's option and info calls are variadic, which Swift does not import: one function for each kind of argument.
#ifndef PENSTOCK_CLIBCURL_H
#define PENSTOCK_CLIBCURL_H

#include <curl/curl.h>

/// curl_global_init(3) with everything; call it once before any other thread uses libcurl.
static inline CURLcode penstock_curl_global_init(void) {
    return curl_global_init(CURL_GLOBAL_ALL);
}

/// The file of authorities that libcurl was built with; NULL when there is none.
static inline const char *penstock_curl_default_authorities(void) {
    return curl_version_info(CURLVERSION_NOW)->cainfo;
}

/// Options whose argument is a long or a Boolean.
static inline CURLcode penstock_curl_set_long(CURL *easy, CURLoption option, long value) {
    return curl_easy_setopt(easy, option, value);
}

/// Options whose argument is a curl_off_t.
static inline CURLcode penstock_curl_set_offset(CURL *easy, CURLoption option, curl_off_t value) {
    return curl_easy_setopt(easy, option, value);
}

/// Options whose argument is a string, which libcurl copies (but see CURLOPT_POSTFIELDS); NULL resets most.
static inline CURLcode penstock_curl_set_string(CURL *easy, CURLoption option, const char *value) {
    return curl_easy_setopt(easy, option, value);
}

/// Options whose argument is a pointer that libcurl keeps and does not read itself.
static inline CURLcode penstock_curl_set_pointer(CURL *easy, CURLoption option, const void *value) {
    return curl_easy_setopt(easy, option, value);
}

/// Options whose argument is a list, which must live as long as the handle uses it.
static inline CURLcode penstock_curl_set_list(CURL *easy, CURLoption option, struct curl_slist *value) {
    return curl_easy_setopt(easy, option, value);
}

/// CURLOPT_WRITEFUNCTION.
static inline CURLcode penstock_curl_set_write(CURL *easy, curl_write_callback value) {
    return curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, value);
}

/// CURLOPT_OPENSOCKETFUNCTION and CURLOPT_CLOSESOCKETFUNCTION with one context.
static inline void penstock_curl_set_sockets(
    CURL *easy, curl_opensocket_callback opened, curl_closesocket_callback closed, void *context
) {
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, opened);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, context);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, closed);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, context);
}

/// Infos that are a long; 0 when the handle has none.
static inline long penstock_curl_long(CURL *easy, CURLINFO info) {
    long value = 0;
    curl_easy_getinfo(easy, info, &value);
    return value;
}

/// Infos that are a curl_off_t, such as times in microseconds; 0 when the handle has none.
static inline curl_off_t penstock_curl_offset(CURL *easy, CURLINFO info) {
    curl_off_t value = 0;
    curl_easy_getinfo(easy, info, &value);
    return value;
}

/// CURLINFO_PRIVATE.
static inline void *penstock_curl_private(CURL *easy) {
    char *value = NULL;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &value);
    return value;
}

/// The value of the last header of that name in the final answer; NULL when there is none. Valid until the handle
/// is used again.
static inline const char *penstock_curl_header(CURL *easy, const char *name) {
    struct curl_header *header = NULL;
    size_t count;
    if (curl_easy_header(easy, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK) {
        return NULL;
    }
    count = header->amount;
    if (count > 1 && curl_easy_header(easy, name, count - 1, CURLH_HEADER, -1, &header) != CURLHE_OK) {
        return NULL;
    }
    return header->value;
}

/// Multi options whose argument is a long.
static inline CURLMcode penstock_curl_multi_set_long(CURLM *multi, CURLMoption option, long value) {
    return curl_multi_setopt(multi, option, value);
}

/// CURLMOPT_SOCKETFUNCTION and CURLMOPT_TIMERFUNCTION with one context.
static inline void penstock_curl_multi_set_callbacks(
    CURLM *multi, curl_socket_callback socket, curl_multi_timer_callback timer, void *context
) {
    curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, socket);
    curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, context);
    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, timer);
    curl_multi_setopt(multi, CURLMOPT_TIMERDATA, context);
}

/// The next transfer that has ended and its result; NULL when there is none.
static inline CURL *penstock_curl_next_ended(CURLM *multi, CURLcode *result) {
    int left;
    CURLMsg *message;
    while ((message = curl_multi_info_read(multi, &left)) != NULL) {
        if (message->msg == CURLMSG_DONE) {
            *result = message->data.result;
            return message->easy_handle;
        }
    }
    return NULL;
}

#endif

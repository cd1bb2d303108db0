-- SPDX-License-Identifier: Apache-2.0
--
-- wrk: POSTs one body, from the file named by PENSTOCK_BENCH_BODY, and prints one JSON line.

local file = assert(io.open(os.getenv("PENSTOCK_BENCH_BODY"), "rb"))
wrk.method = "POST"
wrk.body = file:read("*a")
wrk.headers["Content-Type"] = "application/json"
file:close()

function done(summary, latency, requests)
    local seconds = summary.duration / 1e6
    local errors = summary.errors.connect + summary.errors.read + summary.errors.write
        + summary.errors.status + summary.errors.timeout
    io.write(string.format(
        '{"requests": %d, "seconds": %.6f, "requests_per_second": %.0f, '
            .. '"p50_us": %.1f, "p99_us": %.1f, "errors": %d}\n',
        summary.requests, seconds, summary.requests / seconds,
        latency:percentile(50), latency:percentile(99), errors))
end

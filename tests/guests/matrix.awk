# SPDX-License-Identifier: MIT
#
# The table of docs/testing.md from lines of IOENGINE_TEST_RESULTS. Give the guests' kernels with
# -v kernels='GUEST=RELEASE ...', in the order of the rows.
BEGIN {
    FS = "\t"
    count = split(kernels, rows, " ")
    for (i = 1; i <= count; ++i) {
        split(rows[i], row, "=")
        guests[i] = row[1]
        release[row[1]] = row[2]
    }
}
{
    if (split($2, part, " / ") != 3) next
    backend = $3 ~ / \/ uring$/ ? "uring" : $3 ~ / \/ aio$/ ? "aio" : "other"
    way = part[1] SUBSEP part[2]
    ++seen[way]
    ++number[way, backend, $1]
}
function cell(way, backend) {
    if (number[way, backend, "pass"] + number[way, backend, "skip"] + number[way, backend, "fail"] == 0)
        return "-"
    return sprintf("%d / %d / %d", number[way, backend, "pass"], number[way, backend, "skip"], number[way, backend, "fail"])
}
END {
    print "| guest | kernel | threading | io_uring | AIO | neither |"
    print "|---|---|---|---|---|---|"
    ways = split("split owner caller sqpoll iopoll both", way_names, " ")
    for (i = 1; i <= count; ++i)
        for (t = 1; t <= ways; ++t) {
            threading = way_names[t]
            way = guests[i] SUBSEP threading
            if (seen[way])
                printf "| %s | %s | %s | %s | %s | %s |\n", guests[i], release[guests[i]], threading,
                    cell(way, "uring"), cell(way, "aio"), cell(way, "other")
        }
}

# SPDX-License-Identifier: MIT
#
# From what a guest said on its second serial line (see init) to lines of IOENGINE_TEST_RESULTS.
# The suite of each names guest, threading and program: "6.1-rt / owner / test-conformance".
BEGIN { FS = OFS = "\t" }
function fail(what, why) { print "fail", guest (place == "" ? "" : " / " place), what, why }
{ sub(/\r$/, "") }
$1 == "begin" { place = $2 " / " $3; cases = failed = 0 }
$1 ~ /^(pass|fail|skip)$/ && NF == 4 {
    ++cases
    if ($1 == "fail") ++failed
    print $1, guest " / " place, $3, $4
}
$1 == "end" {
    if (cases == 0) fail("the program runs test cases", "none ran")
    # A program that saw a failure says so with its exit code; any other code is an end amid a case.
    if ($4 >= 128 || ($4 != 0 && $4 != 77 && failed == 0))
        fail("the program comes to its end", "exit code " $4)
    place = ""
}
$1 == "done" { done = 1 }
END {
    if (place != "") fail("the program comes to its end", "the guest ended before it; see its log")
    place = ""
    if (done) print "pass", guest, "the guest comes to its end", ""
    else fail("the guest comes to its end", "it crashed, or hung; see its log")
}

// SPDX-License-Identifier: MIT
//
// Nudge: what lies on the ready list reaches a poller that sleeps in the kernel.
//
// The submit role refuses some requests and submits others, helpers finish requests of their own,
// and the poller delivers. The poller ends when everything is delivered; if it sleeps for good
// before that, the run is an invalid end state. The submitter parks for ever in the end, which is
// valid for it. In the second search any cycle is an error: nobody may spin.
//
// Parking is reduced to what parking.pml shows it to give: nothing announced since the submitter
// read its epoch is slept through (`news`). A timer is an alternative that can always be taken; the
// number of busy answers is bounded, so timers cannot hide a loss.

#ifndef REFUSED
#define REFUSED 2
#endif
#ifndef ORDINARY
#define ORDINARY 1
#endif
#ifndef HELPED
#define HELPED 1 // by each helper
#endif
#ifndef HELPERS
#define HELPERS 2
#endif
#define ALL (REFUSED + ORDINARY + HELPED * HELPERS)

byte ready = 0;         // requests on the ready list
bool asleep = false;    // the poller says that it sleeps
bool pending = false;
bool requested = false;
bool news = false;      // the submitter's epoch moved
byte nudges = 0;        // nudges which the kernel holds
byte in_kernel = 0;     // ordinary requests there
byte delivered = 0;
byte busy_answers = 2;  // how often the kernel may fail to take a nudge

proctype helper() {
    byte left = HELPED;
    do
    :: left > 0 ->
        ready++; /* lib/ready_list.hpp: nudge-1 */
#ifdef BUG_helper_wakes_before_it_asks
        news = true;
        requested = true;
#else
        requested = true; /* lib/nudge.hpp: nudge-3 */
#ifndef BUG_helper_does_not_wake_the_submitter
        news = true;
#endif
#endif
        left--
    :: left == 0 -> break
    od
}

// The submit call, with the nudge at the end of the batch.
inline send_nudge() {
    if
    :: d_step { nudges++; assert(nudges <= 1); kept = false }
    :: d_step { busy_answers > 0 -> busy_answers--; kept = true } // stays in the batch
    :: d_step { busy_answers > 0 -> busy_answers--; kept = false }; // never got there
#ifndef BUG_unsent_nudge_still_pending
        pending = false;
#endif
#ifndef BUG_unsent_nudge_forgotten
        owed = true
#endif
    fi
}

proctype submitter() {
    byte refused = REFUSED;
    byte ordinary = ORDINARY;
    bool was;
    bool owed;
    bool kept;
    bool due;
    do
    ::
        news = false; // reads the epoch
        if
        :: kept -> send_nudge()
        :: !kept
        fi;
        due = owed;
        if
        :: refused > 0 ->
#ifdef BUG_asleep_read_before_the_push
            due = due || asleep;
            ready++;
#else
            ready++; /* lib/ready_list.hpp: nudge-1 */
#ifndef BUG_refused_request_is_not_nudged
            due = true;
#endif
#endif
            refused--
        :: ordinary > 0 -> d_step { ordinary--; in_kernel++ }
        :: refused == 0 && ordinary == 0
        fi;
        if
        :: d_step { requested -> requested = false }; due = true /* lib/nudge.hpp: nudge-4 */
        :: !requested
        fi;
        if
        :: due ->
            owed = false;
            if
            :: asleep -> /* lib/nudge.hpp: nudge-2 */
                d_step { was = pending; pending = true };
                if
                :: !was -> send_nudge()
                :: was ->
#ifdef BUG_nudge_sent_though_pending
                    send_nudge()
#endif
                fi
            :: !asleep
            fi;
            d_step { was = false; due = false }
        :: !due
        fi;
        if
        :: refused > 0 || ordinary > 0
        :: refused == 0 && ordinary == 0 ->
end_parked:
            if
            :: news
#ifndef BUG_unsent_nudge_has_no_timer
            :: owed || kept // the back-off's timer
#endif
            fi
        fi
    od
}

proctype poller() {
    byte taken;
    bool nudged; // a reaped nudge whose `pending` is not cleared yet; for bugs and variants
    bool woken;  // the kernel has said that there is something
    do
    :: delivered == ALL -> break
    :: else ->
#ifdef BUG_asleep_said_after_looking
        if
        :: ready > 0
        :: ready == 0 ->
            asleep = true;
            (in_kernel + nudges > 0);
            woken = true
        fi;
#else
        asleep = true; /* lib/nudge.hpp: nudge-5 */
        if
#ifndef BUG_list_not_looked_at_again
        :: ready > 0 /* lib/poll_step.hpp: nudge-6 */
        :: ready == 0 ->
#else
        :: true ->
#endif
#ifdef BUG_pending_cleared_after_the_last_look
            if
            :: nudged -> pending = false; nudged = false
            :: !nudged
            fi;
#endif
            (in_kernel + nudges > 0); // sleeps in the kernel
            woken = true
        fi;
#endif
        asleep = false;
        // A reap brings part of what is there, and something after a sleep.
        if
        :: d_step { in_kernel > 0 -> in_kernel--; delivered++; woken = false }
        :: nudges > 0 || !woken
        fi;
        if
        :: d_step { nudges > 0 -> nudges--; woken = false };
#ifdef BUG_pending_cleared_after_the_last_look
            nudged = true
#else
#ifdef VARIANT_pending_cleared_after_the_list
            nudged = true
#else
            pending = false /* lib/nudge.hpp: nudge-7 */
#endif
#endif
        :: !woken
        fi;
        d_step { taken = ready; ready = 0 }; /* lib/ready_list.hpp: nudge-8 */
        d_step { delivered = delivered + taken; taken = 0 };
#ifdef VARIANT_pending_cleared_after_the_list
        if
        :: nudged -> pending = false; nudged = false
        :: !nudged
        fi
#endif
    od
}

init {
    atomic {
        byte n;
        for (n : 1 .. HELPERS) { run helper() };
        run submitter();
        run poller()
    }
}

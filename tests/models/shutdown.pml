// SPDX-License-Identifier: MIT
//
// Shutdown: everything accepted is called back before close returns, and then nobody is left inside.
//
// Callers, of whom some come late, a closer, the submitter, the poller, and one worker of a pool
// that outlives the context; callbacks run on the poller or on the worker, and may submit. The
// kernel completes in any order, so the exit signal may overtake requests. Who waits for good is an
// invalid end state, unless it is the idle worker.
//
// Parking is reduced to what parking.pml shows it to give: nothing announced since the submitter
// read its epoch is slept through (`news`). A timer is an alternative that can always be taken; the
// number of busy answers is bounded, so timers cannot hide a loss.

#ifndef CALLERS
#define CALLERS 1
#endif
#ifndef DEPTH
#define DEPTH 1
#endif
#ifndef AGAIN
#define AGAIN 1 // callbacks that submit
#endif
#ifndef REFUSALS
#define REFUSALS 1
#endif
#ifndef BUSY
#define BUSY 1
#endif

byte callers = CALLERS; // user's threads that may still be inside submit()
byte gate = 0;          // bit 0 closed; above, callers inside
byte accepted = 0;
byte queued = 0;
byte slots = DEPTH;
byte in_kernel = 0;     // requests there
bool leave_in_kernel = false;
bool nudge_in_kernel = false;
byte ready = 0;
byte backlog = 0;       // the worker's
byte handed_out = 0;
byte completed = 0;
byte called_back = 0;

bool news = false;      // the submitter's epoch moved
bool asleep = false;    // the poller says that it sleeps
bool pending = false;
bool requested = false;
bool draining = false;
bool poller_left = false;
bool poller_done = false;
bool submitter_left = false;
bool destroyed = false;

byte callbacks_to_submit = AGAIN;
byte bad_answers = REFUSALS;
byte busy_answers = BUSY;

#define standing assert(!destroyed)

inline push(seen) {
    d_step { standing; seen = gate; gate = gate + 2 }; /* lib/gate.hpp: close-1 */
    if
    :: seen % 2 == 1 -> gate = gate - 2
    :: else ->
#ifdef BUG_accepted_counted_outside_the_gate
        gate = gate - 2;
        d_step { accepted++; queued++ };
        news = true
#else
        d_step { accepted++; queued++ };
        news = true;
        d_step { standing; gate = gate - 2 } /* lib/gate.hpp: close-2 */
#endif
    fi;
    seen = 0
}

// A callback of the context does not enter the gate: what it is part of is not completed yet.
inline call_back(seen) {
    d_step { standing; called_back++ };
    if
    :: d_step { callbacks_to_submit > 0 -> callbacks_to_submit-- };
        d_step { standing; seen = gate % 2 }; /* lib/shared_context.cpp: close-8 */
        if
        :: seen == 1
        :: seen == 0 -> d_step { standing; accepted++; queued++ }; d_step { standing; news = true }
        fi;
        seen = 0
    :: true
    fi
}

proctype caller() {
    byte seen;
    push(seen);
    callers--
}

proctype closer() {
    d_step { gate = gate | 1 }; /* lib/gate.hpp: close-3 */
#ifndef BUG_closer_does_not_wait_for_callers
    (gate == 1);
#endif
    draining = true;
    news = true;
    (submitter_left && poller_done); // joined
#ifndef BUG_closer_does_not_wait_for_workers
    (handed_out == 0);
#endif
    d_step {
        // The kernel's context is destroyed; a nudge may be left in it.
        assert(in_kernel == 0 && !leave_in_kernel);
        // shutdown() returns.
        assert(accepted == completed && completed == called_back);
        assert(queued == 0 && ready == 0 && slots == DEPTH)
    };
    // The user ends the threads that might still call, as the destructor asks; then it is gone.
    (callers == 0);
    destroyed = true
}

// -- submitter -------------------------------------------------------------------------------

inline nudge_if_due() {
    if
    :: d_step { requested -> requested = false }; due = true
    :: !requested
    fi;
    if
    :: due || owed ->
        d_step { due = false; owed = false };
        if
        :: asleep ->
            d_step { was = pending; pending = true };
            if
            :: !was ->
                if
                :: d_step { assert(!nudge_in_kernel); nudge_in_kernel = true }
                :: d_step { busy_answers > 0 -> busy_answers-- };
                    pending = false;
                    owed = true
                fi
            :: was
            fi;
            was = false
        :: !asleep
        fi
    :: !due && !owed
    fi
}

proctype submitter() {
    bool moved;
    bool due;
    bool owed;
    bool was;
    bool leave_sent;
    do
    ::
        news = false; // reads the epoch
        if
        :: d_step { queued > 0 && slots > 0 -> queued--; slots--; in_kernel++; moved = true }
        :: d_step { queued > 0 && slots > 0 && bad_answers > 0 ->
                bad_answers--; queued--; slots--; moved = true };
#ifdef BUG_slot_given_back_after_the_push
            ready++;
            due = true;
            nudge_if_due();
            slots++
#else
            slots++;
            ready++;
            due = true
#endif
        :: queued == 0 || slots == 0
        fi;
        if
#ifdef BUG_exit_signal_waits_for_a_quiet_gate
        :: !leave_sent && gate == 1 ->
#else
        :: !leave_sent && draining -> /* lib/submit_step.hpp: close-4 */
#endif
            if
            :: d_step { leave_in_kernel = true; leave_sent = true }
            :: d_step { busy_answers > 0 -> busy_answers-- };
#ifdef BUG_busy_exit_signal_forgotten
                leave_sent = true
#endif
            fi
        :: else
        fi;
        nudge_if_due();
        if
        :: poller_left -> break
        :: else
        fi;
        if
        :: moved
        :: !moved ->
            if
            :: news
#ifdef BUG_exit_signal_waits_for_a_quiet_gate
            :: owed || (gate == 1 && !leave_sent)
#else
            :: owed || (draining && !leave_sent) // the back-off's timer
#endif
            fi
        fi;
        moved = false
    od;
    submitter_left = true
}

// -- poller ----------------------------------------------------------------------------------

inline deliver(seen) {
    if
    :: call_back(seen); completed++
    :: d_step { handed_out++; backlog++ }
    fi
}

// Asks one thing after the other.
inline may_leave(yes, count) { /* lib/poll_step.hpp: close-5 */
    yes = false;
    if
    :: !leave_seen
#ifdef BUG_leave_without_all_completed
    :: leave_seen ->
#else
    :: leave_seen ->
#ifdef BUG_accepted_read_before_completed
        count = accepted
#else
        count = completed
#endif
    fi;
    if
    :: !leave_seen
#ifdef BUG_accepted_read_before_completed
    :: leave_seen && completed != count
    :: leave_seen && completed == count ->
#else
    :: leave_seen && count != accepted
    :: leave_seen && count == accepted ->
#endif
#endif
        if
#ifndef VARIANT_leave_without_looking_at_slots
        :: slots != DEPTH
        :: slots == DEPTH ->
#else
        :: true ->
#endif
            if
#ifndef VARIANT_leave_with_a_nudge_pending
            :: pending
            :: !pending -> yes = true
#else
            :: true -> yes = true
#endif
            fi
        fi
    fi
}

proctype poller() {
    byte seen;
    byte made;
    byte count;
    bool leave_seen;
    bool yes;
    bool woken; // the kernel has said that there is something
    bool any;
    do
    ::
        if
        :: d_step { in_kernel > 0 -> in_kernel--; slots++; news = true; any = true };
            deliver(seen)
        :: d_step { leave_in_kernel -> leave_in_kernel = false; leave_seen = true; any = true }
        :: d_step { nudge_in_kernel -> nudge_in_kernel = false; any = true };
            pending = false
        :: !woken // what the kernel holds may not be complete yet
        fi;
        woken = false;
        d_step { made = ready; ready = 0; any = any || made > 0 };
        do
        :: made > 0 -> made--; deliver(seen)
        :: made == 0 -> break
        od;
#ifdef BUG_exit_signal_not_remembered
        // Only an exit signal that comes last is understood.
        may_leave(yes, count);
        if
        :: yes -> break
        :: else -> leave_seen = false
        fi;
#endif
        if
        :: any -> any = false
        :: !any ->
            may_leave(yes, count);
            if
            :: yes -> break
            :: !yes
            fi;
            asleep = true;
#ifdef BUG_rule_not_asked_again_before_sleep
            yes = false;
#else
            may_leave(yes, count);
#endif
            if
            :: ready == 0 && !yes ->
                (in_kernel > 0 || leave_in_kernel || nudge_in_kernel);
                woken = true
            :: else
            fi;
            asleep = false
        fi
    od;
    asleep = false;
    poller_left = true; /* lib/split_runner.hpp: close-7 */
#ifdef BUG_leaving_poller_wakes_nobody
    poller_done = true
#else
    d_step { news = true; poller_done = true }
#endif
}

// -- worker ----------------------------------------------------------------------------------

proctype worker() {
    byte seen;
    bool last;
end_idle:
    do
    :: backlog > 0 ->
        backlog--;
        call_back(seen);
#ifdef BUG_worker_looks_before_it_counts
        last = draining;
        d_step { standing; completed++ };
#else
        d_step { standing; completed++ };
        d_step { standing; last = draining }; /* lib/shared_context.cpp: close-6 */
#endif
        if
#ifdef BUG_worker_does_not_nudge
        :: true
#else
        :: last ->
            d_step { standing; requested = true };
            d_step { standing; news = true }
        :: !last
#endif
        fi;
        d_step { last = false; standing; handed_out-- }
    od
}

init {
    atomic {
        byte n;
        for (n : 1 .. CALLERS) { run caller() };
        run closer();
        run submitter();
        run poller();
        run worker()
    }
}
